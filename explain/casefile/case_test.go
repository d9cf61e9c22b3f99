package casefile

import (
	"errors"
	"maps"
	"strings"
	"testing"
)

func TestReadReplacesEscapesAndPlaceholders(t *testing.T) {
	keys := func(name, form string) (string, error) { return "<" + name + "," + form + ">", nil }
	c, err := Read("It proves this.\n\n-- envelope --\nclient none\nrcpt <a@x.example>\nrcpt <b@x.example>\n-- zone --\n{ab*2} {key:rsa} {key:rsa:pkcs1}\n-- message escaped --\nFrom: \"\\x41\"\\\\\n\n", keys)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"zone": "abab <rsa,> <rsa,pkcs1>\n", "message": "From: \"A\"\\\n\n"}
	if !maps.Equal(c.Sections, want) || c.Proves != "It proves this." {
		t.Errorf("sections = %q of %q; want %q", c.Sections, c.Proves, want)
	}
	if got := strings.Join(c.Recipients(), " "); got != "<a@x.example> <b@x.example> <user@receiver.example>" || c.One("client", "") != "none" || c.One("helo", "h") != "h" {
		t.Errorf("envelope = %q; want its lines and what stands for those that are not there", c.Envelope)
	}
}

func TestReadWithoutAMessageHasTheUsualOne(t *testing.T) {
	c, err := Read("Nothing is said.\n\n-- want --\naction accept\n", nil)
	if err != nil || c.Sections["message"] != defaultMessage || c.Sections["zone"] != defaultPolicy {
		t.Errorf("sections = %q, %v; want the usual message and its policy", c.Sections, err)
	}
}

func TestReadRefusesWhatNoCaseHas(t *testing.T) {
	noKey := func(string, string) (string, error) { return "", errors.New("no such key") }
	for _, tt := range []struct{ name, text, want string }{
		{"a section", "-- zones --\nx\n", `"zones"`},
		{"a line of the envelope", "-- envelope --\nrecipients <a@b.example>\n", "recipients"},
		{"an escape", "-- zone escaped --\n\\q\n", `\q`},
		{"a key", "-- zone --\n{key:dsa}\n", "{key:dsa}: no such key"},
		{"a time", "-- zone --\n{now+h1}\n", "{now+h1}"},
		{"too much", "-- zone --\n{abc*999999999}\n", "more than a section may have"},
		{"too much in all", "-- zone --\n{abc*80000000} {abc*80000000}\n", "more than a section may have"},
	} {
		if _, err := Read(tt.text, noKey); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Read of %s = %v; want an error with %q", tt.name, err, tt.want)
		}
	}
}

func TestTextRefusesWhatReadWouldReplace(t *testing.T) {
	for _, text := range []string{"{host}", "{now}", "{now-1h}", "{x*3}", "{key:rsa}"} {
		if got, err := (&Case{Sections: map[string]string{"message": "a" + text}}).Text(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("Text() with %s = %q, %v; want an error that names it", text, got, err)
		}
	}
}

// FuzzTextIsReadAsItWasWritten: whatever a message holds, the file gives it back
// or is not written.
func FuzzTextIsReadAsItWasWritten(f *testing.F) {
	for _, seed := range []string{"From: a@b.example\n\nx\n", "-- want --\n", "-- x escaped --\n\\", "\x00\r\n\xff\"'\\x41", "{host}{now}{x*2}{key:a:b}", "{\\x6eow}", "\t-- a --\n-- a --\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, message string) {
		if !strings.HasSuffix(message, "\n") {
			message += "\n"
		}
		c := &Case{Proves: "It proves this.", Sections: map[string]string{"message": message, "want": "action accept\n"}, Envelope: map[string][]string{"client": {"none"}}}
		text, err := c.Text()
		if err != nil {
			return
		}
		got, err := Read(text, nil)
		if err != nil || got.Sections["message"] != message || len(got.Sections) != 2 || got.Proves != c.Proves || got.One("client", "") != "none" {
			t.Errorf("the message %q is written as\n%s\nand read as %q, %v", message, text, got, err)
		}
	})
}
