package dmarc

import "testing"

func TestParseURINeedsBothSidesOfMailbox(t *testing.T) {
	for uri, want := range map[string]bool{
		"mailto:a@b": true, "mailto:a@b?subject=x": true, "mailto:a@b@c": true,
		"mailto:@b": false, "mailto:a@": false, "mailto:a": false, "mailto:@": false, "mailto:a@?b@c": false,
	} {
		if got := isURI(uri); got != want {
			t.Errorf("isURI(%q) = %v; want %v", uri, got, want)
		}
	}
}
