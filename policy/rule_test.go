package policy

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/patterntest"
	"dmarcgate/policy/pattern"
)

var pats, nets, prefixes = patterntest.Domains, patterntest.Networks, patterntest.Prefixes

// good is a rule without a fault.
func good() Rule {
	return Rule{
		ID: "relay", Owner: "o", Comment: "c", Created: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), Mode: Enforce, Priority: 100,
		Action: RuleAccept, Reason: TrustedForwarder, Match: Match{Client: nets("192.0.2.0/24")},
	}
}

func TestRulesAreTriedByPriorityThenId(t *testing.T) {
	rule := func(id string, priority int) Rule {
		r := good()
		r.ID, r.Priority = id, priority
		return r
	}
	rs, err := NewRules([]Rule{rule("b", 1), rule("a", 1), rule("c", 2), rule("d", 0)})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rs.List() {
		got = append(got, r.ID)
	}
	if want := "c a b d"; strings.Join(got, " ") != want || rs.Len() != 4 {
		t.Errorf("List = %q, Len = %d; want %s", got, rs.Len(), want)
	}
	if _, err := NewRules([]Rule{rule("b", 1), rule("b", 2)}); err == nil || !strings.Contains(err.Error(), "another rule has this id") {
		t.Errorf("NewRules with an id twice = %v; want an error", err)
	}
	most := make([]Rule, MaxRules)
	for i := range most {
		most[i] = rule(fmt.Sprint(i), 0)
	}
	if rs, err := NewRules(most); err != nil || rs.Len() != 10_000 {
		t.Errorf("NewRules of 10,000 = %d of them, %v; want all", rs.Len(), err)
	}
	if _, err := NewRules(make([]Rule, MaxRules+1)); err == nil || err.Error() != "10001 rules; at most 10000" {
		t.Errorf("NewRules with too many = %v; want an error", err)
	}
}

func TestNewRulesOfNothingIsTheZeroSet(t *testing.T) {
	if none, err := NewRules(nil); err != nil || none.Len() != 0 {
		t.Errorf("NewRules(nil) = %v, %v; want the zero set", none, err)
	}
}

func TestNewRulesCopiesRules(t *testing.T) {
	r := good()
	rs, err := NewRules([]Rule{r})
	if err != nil {
		t.Fatal(err)
	}
	before := text(rs.List())
	r.Match.Client[0] = pattern.NetworkOf(netip.MustParsePrefix("0.0.0.0/0"))
	rs.List()[0].Match.Client[0] = pattern.NetworkOf(netip.MustParsePrefix("0.0.0.0/0"))
	if got := rs.List()[0].Match.Client[0].String(); got != "192.0.2.0/24" || text(rs.List()) != before {
		t.Errorf("after changes of copies the set names %s; want it as it was", got)
	}
}

func TestRuleJSONRoundTrip(t *testing.T) {
	r := good()
	r.Expires, r.File, r.Line = r.Created.AddDate(1, 0, 0), "f", 3
	r.Match.Author, r.Match.Result = pats("org:a.example", ".b.example"), []string{"fail"}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got Rule
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("Unmarshal(%s) = %+v, %v; want %+v", text, got, err, r)
	}
}

// A refusal that became a deferral is not told with the text of a refusal.
func TestRulesTextIsOfItsAction(t *testing.T) {
	rules := compile([]Rule{{ID: "no", Action: RuleReject, Text: "DMARC no"}, {ID: "later", Action: RuleTempfail, Text: "DMARC later"}})
	for _, tt := range []struct {
		d    Decision
		want string
	}{
		{Decision{Rule: "no", Action: Reject}, "DMARC no"}, {Decision{Rule: "no", Action: Tempfail}, ""}, {Decision{Rule: "no", Action: Tag}, ""},
		{Decision{Rule: "later", Action: Tempfail}, "DMARC later"}, {Decision{Rule: "later", Action: Accept}, ""},
		{Decision{Rule: "gone", Action: Reject}, ""}, {Decision{Action: Reject}, ""},
	} {
		if got := rules.Text(tt.d); got != tt.want {
			t.Errorf("Text(%+v) = %q; want %q", tt.d, got, tt.want)
		}
	}
}

func TestMomentIsADayOrHasATime(t *testing.T) {
	for text, want := range map[string]string{
		"2027-05-01T00:00:00Z": "2027-05-01", "2027-05-01T18:00:00Z": "2027-05-01 18:00 UTC", "2027-05-01T00:00:00+02:00": "2027-04-30 22:00 UTC",
		"2027-05-01T18:00:07Z": "2027-05-01 18:00:07 UTC",
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Moment(at); got != want {
			t.Errorf("Moment(%s) = %q; want %q", text, got, want)
		}
	}
}
