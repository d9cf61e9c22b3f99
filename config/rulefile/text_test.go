package rulefile

import (
	"reflect"
	"testing"

	"dmarcgate/policy"
)

func TestTextIsReadAsTheSameRule(t *testing.T) {
	for _, text := range []string{everyKey, passKeys, everyTest} {
		rules, err := Parse("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		written := Text(rules[0])
		again, err := Parse("f", []byte(written))
		if err != nil {
			t.Fatalf("Parse of what is written = %v\n%s", err, written)
		}
		if got, want := placeless(again[0]), placeless(rules[0]); !reflect.DeepEqual(got, want) {
			t.Errorf("Text =\n%s\nread as %+v; want %+v", written, got, want)
		}
	}
}

// placeless leaves out where a rule and its tests stand.
func placeless(r policy.Rule) policy.Rule {
	r.File, r.Line = "", 0
	for i := range r.Tests {
		r.Tests[i].Line = 0
	}
	return r
}
