package policy

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// What a condition of a rule says of a message, in words.
const (
	Holds     = "holds"
	HoldsNot  = "does not hold"
	NotKnown  = "not known" // the fact is missing: package replay says so
	Drawn     = "drawn"     // the message is in the sample
	NotDrawn  = "not drawn"
	IsExpired = "expired"
)

func stateOf(holds bool) string {
	if holds {
		return Holds
	}
	return HoldsNot
}

// Condition is one condition of a rule, and what it says of a message.
type Condition struct {
	Key   string `json:"key"`             // of the rule file, or one of the Condition… names
	Value string `json:"value,omitempty"` // as JSON, at most MaxConditionValue bytes; "" for what is no key
	State string `json:"state"`           // one of the words above
}

// Conditions that are not keys of match.
const (
	ConditionMode       = "mode"             // not off
	ConditionEvaluated  = "evaluated"        // rules are not tried on mail that is not evaluated
	ConditionFailed     = "not passed"       // nor on mail of which every author domain passed, but for those about such mail
	ConditionPassed     = "passed"           // those want an author domain that passed
	ConditionExpires    = "expires"          // Holds or IsExpired
	ConditionSample     = "sample"           // Drawn, NotDrawn or NotKnown
	ConditionAuthors    = "author domains"   // the keys about author domains, together
	ConditionRecipients = "recipients"       // the keys about recipients, together
	ConditionResult     = "result (default)" // result, which is fail where the rule has no such key
)

// MaxConditionValue is the longest Condition.Value in bytes; longer ones are
// cut, because a key may have very many items.
const MaxConditionValue = 200

// Told is what a rule says of one message, condition by condition.
type Told struct {
	Rule       string      `json:"rule"`
	Mode       Mode        `json:"mode"`
	Action     RuleAction  `json:"action"`
	Every      bool        `json:"every"` // its keys must hold for every recipient and failing author domain: it is milder than the profile
	Conditions []Condition `json:"conditions"`
	Matches    string      `json:"matches"` // Holds, HoldsNot or NotKnown: all conditions together
}

// Tell tries one rule on a message and says of each of its keys whether it
// holds, with the same code as Decide. A key about author domains is tried on
// each that did not pass; such keys, and those about recipients, must also hold
// together, which is a condition of its own. There is no such rule if !ok.
func (s Settings) Tell(f Facts, id string) (told Told, ok bool) {
	i := slices.IndexFunc(s.Rules.list, func(r Rule) bool { return r.ID == id })
	if i < 0 {
		return Told{}, false
	}
	r := &s.Rules.list[i]
	s.takeShare(&f)
	told = Told{Rule: r.ID, Mode: r.Mode, Action: r.Action}
	told.add(ConditionMode, r.Mode, stateOf(r.Mode != Off))
	if f.Skip != Evaluated || f.TooManyForged {
		told.add(ConditionEvaluated, nil, HoldsNot)
		told.Matches = HoldsNot
		return told, true
	}
	t := s.trial(&f, s.decideProfile(f))
	told.Every = t.milder(r, t.outcome(r))
	told.keys(&t, r)
	_, matches := t.try(r)
	told.Matches = stateOf(matches && r.Mode != Off)
	return told, true
}

// add notes a condition with a value, nil for none.
func (o *Told) add(key string, value any, state string) {
	c := Condition{Key: key, State: state}
	if value != nil {
		text, _ := json.Marshal(value) // values of rules can be written
		c.Value = string(text[:min(len(text), MaxConditionValue)])
	}
	o.Conditions = append(o.Conditions, c)
}

// keys notes the keys of r, and what is no key.
func (o *Told) keys(t *trial, r *Rule) {
	condition := ConditionFailed
	if r.Match.passes() {
		condition = ConditionPassed
	}
	some := slices.ContainsFunc(t.subjects(), func(s subject) bool { return (s.result == passWord) == r.Match.passes() })
	o.add(condition, nil, stateOf(some))
	if !r.Expires.IsZero() {
		state := Holds
		if r.Expired(t.facts.Time) {
			state = IsExpired
		}
		o.add(ConditionExpires, Moment(r.Expires), state)
	}
	for _, key := range r.Match.Keys() {
		if key.Set {
			alone, value := r.Match.only(key.Name)
			o.add(key.Name, value, stateOf(t.holds(&alone, key.Name, o.Every)))
		}
	}
	if r.Match.Result == nil {
		o.add(ConditionResult, []string{"fail"}, stateOf(t.holds(&Match{}, "result", o.Every)))
	}
	_, authors := r.Match.authors(t, o.Every)
	o.add(ConditionAuthors, nil, stateOf(authors))
	if r.Match.RcptDomain != nil && r.Match.Not.RcptDomain != nil {
		o.add(ConditionRecipients, nil, stateOf(r.Match.recipients(&t.facts, o.Every)))
	}
	o.sample(t, r)
}

func (o *Told) sample(t *trial, r *Rule) {
	if r.Sample == 0 {
		return
	}
	state := NotDrawn
	if t.drawn(r) {
		state = Drawn
	}
	o.add(ConditionSample, float64(r.Sample)/100, state)
}

// authorKeys are the keys about author domains.
var authorKeys = []string{
	"author", "policy_domain", "result", "pass_by", "requested", "arc_pass", "body_changed", "history_min", "history_max",
	"not_author", "not_policy_domain",
}

// holds is what m, which has one key, says of the message.
func (t *trial) holds(m *Match, key string, every bool) bool {
	if slices.Contains(authorKeys, key) {
		_, v := m.authors(t, every)
		return v
	}
	return m.message(&t.facts) && m.recipients(&t.facts, every)
}

// only returns a match that has one key of m alone, and its value. Where it is
// not about the result, it is for every result.
func (m *Match) only(key string) (alone Match, value any) {
	from, to := reflect.ValueOf(m).Elem(), reflect.ValueOf(&alone).Elem()
	name, denied := strings.CutPrefix(key, "not_")
	if denied {
		from, to = from.FieldByName("Not"), to.FieldByName("Not")
	}
	for i := range from.NumField() {
		if tag, _, _ := strings.Cut(from.Type().Field(i).Tag.Get("json"), ","); tag == name {
			to.Field(i).Set(from.Field(i))
			value = from.Field(i).Interface()
		}
	}
	switch key {
	case "time", "weekday":
		alone.TZ = m.TZ
	case "tz": // which holds as far as those do that are written by it
		alone.Hours, alone.Weekdays = m.Hours, m.Weekdays
	}
	switch {
	case m.passes():
		alone.Result = m.Result
	case key != "result":
		alone.Result = ruleResults
	}
	return alone, value
}
