package sum

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/patterntest"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// summed is settings in which everything is set that a decision can depend on.
func summed() (policy.Settings, policy.Rule) {
	r := policy.Rule{ID: "r", Owner: "o", Comment: "c", Created: noon, Mode: policy.Enforce, Action: policy.RuleAccept, Reason: policy.MailingList}
	s := policy.Settings{
		Profile: policy.Strict, EnforceShare: 50, Quarantine: policy.Tag, TempOurs: policy.Tag, TempDomain: policy.Tag, MaxDefer: time.Hour,
		TrustedForwarders: policy.TrustedForwarders{Sealers: []string{"a.example"}, Networks: prefixes("192.0.2.0/24"), Domains: domains("a.example")},
	}
	return s, r
}

func sumOf(s policy.Settings, r policy.Rule) string { return settings(s, []policy.Rule{r}) }

var domains, prefixes, network = patterntest.Domains, patterntest.Prefixes, patterntest.Networks

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// good is a rule without a fault.
func good() policy.Rule {
	return policy.Rule{
		ID: "relay", Owner: "o", Comment: "c", Created: noon, Mode: policy.Enforce, Priority: 100,
		Action: policy.RuleAccept, Reason: policy.TrustedForwarder, Match: policy.Match{Client: network("192.0.2.0/24")},
	}
}

// Whoever adds a field to settings or rules need not think of Sum, and cannot
// leave it out.
func TestSumCoversEveryDecidingField(t *testing.T) {
	s, r := summed()
	base := sumOf(s, r)
	if len(base) != sumDigits || base != sumOf(s, r) {
		t.Errorf("Settings() = %q, then %q; want the same digits", base, sumOf(s, r))
	}
	seen := map[string]string{base: "nothing"}
	check := func(name string, s policy.Settings, r policy.Rule) {
		sum := sumOf(s, r)
		if other, taken := seen[sum]; taken {
			t.Errorf("Settings() with another %s = %s, as with another %s", name, sum, other)
		}
		seen[sum] = name
	}
	eachField(t, reflect.TypeOf(s), nil, func(name string, path []int) {
		s, r := summed()
		change(t, name, reflect.ValueOf(&s).Elem().FieldByIndex(path))
		check("Settings."+name, s, r)
	})
	unread := map[string]bool{"Owner": true, "Text": true, "Comment": true, "Created": true, "Idle": true, "Tests": true, "File": true, "Line": true}
	eachField(t, reflect.TypeOf(r), nil, func(name string, path []int) {
		s, r := summed()
		change(t, name, reflect.ValueOf(&r).Elem().FieldByIndex(path))
		if !unread[name] {
			check("Rule."+name, s, r)
		} else if sum := sumOf(s, r); sum != base {
			t.Errorf("Settings() with another %s = %s; want %s, nothing is decided by it", name, sum, base)
		}
	})
}

// eachField calls f for the fields of a struct and of those within it.
func eachField(t *testing.T, typ reflect.Type, at []int, f func(name string, path []int)) {
	t.Helper()
	for field := range typ.Fields() {
		path := append(append([]int(nil), at...), field.Index...)
		switch {
		case field.Type == reflect.TypeFor[policy.Rules](): // apart
		case field.Type.Kind() == reflect.Struct && field.Type != reflect.TypeFor[time.Time]():
			eachField(t, field.Type, path, func(name string, path []int) { f(field.Name+"."+name, path) })
		case !field.IsExported():
			t.Errorf("%v.%s: JSON would leave out a field that is not exported", typ, field.Name)
		default:
			f(field.Name, path)
		}
	}
}

// change gives a field another value.
func change(t *testing.T, name string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Uint8:
		v.SetUint(v.Uint() + 1)
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Struct:
		v.Set(reflect.ValueOf(time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)))
	case reflect.Slice:
		item := reflect.New(v.Type().Elem()).Elem()
		switch p := item.Addr().Interface().(type) {
		case *pattern.Domain:
			*p = domains("new.example")[0]
		case *pattern.Network:
			*p = network("198.51.100.0/24")[0]
		case *netip.Prefix:
			*p = netip.MustParsePrefix("198.51.100.0/24")
		case *string:
			*p = "new"
		}
		v.Set(reflect.Append(v, item))
	default:
		t.Fatalf("%s is a %v: say how it changes", name, v.Kind())
	}
}

func TestSumCoversMapContents(t *testing.T) {
	s, r := summed()
	sums := make(map[string]bool)
	for _, items := range [][]string{{}, {"a.example"}, {".a.example"}, {"a.example", "b.example"}} {
		m := pattern.NewDomainMap("maps/m", domains(items...)).Pattern()
		r.Match = policy.Match{DKIMPass: []pattern.Domain{m}}
		sums[sumOf(s, r)] = true
		r.Match = policy.Match{Not: policy.Exclude{DKIMPass: []pattern.Domain{m}}}
		sums[sumOf(s, r)] = true
	}
	for _, items := range [][]string{{}, {"192.0.2.0/24"}} {
		r.Match = policy.Match{Client: []pattern.Network{pattern.NewNetMap("maps/m", prefixes(items...)).Pattern()}}
		sums[sumOf(s, r)] = true
	}
	if len(sums) != 10 {
		t.Errorf("10 settings have %d sums; want one each", len(sums))
	}
	one, other := r, r
	one.Match = policy.Match{Client: []pattern.Network{pattern.NewNetMap("m", nil).Pattern()}}
	other.Match = policy.Match{Client: []pattern.Network{pattern.NewNetMap("m", prefixes("192.0.2.0/24")).Pattern()}}
	if a, b := hashOf([]policy.Rule{one}), hashOf([]policy.Rule{other}); a == b {
		t.Errorf("the hash is %s with another map; want another", a)
	}
}

func TestSumIgnoresRulesThatAreOff(t *testing.T) {
	s, r := summed()
	off := r
	off.ID, off.Mode = "off", policy.Off
	without := settings(s, nil)
	if got := sumOf(s, off); got != without {
		t.Errorf("Settings() with a rule that is off = %s; want %s, as without it", got, without)
	}
	if sumOf(s, r) == without {
		t.Errorf("Settings() with a rule = %s, as without it", without)
	}
	late := r
	late.Expires = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	elsewhere := late
	elsewhere.Expires = late.Expires.In(time.FixedZone("", 3600))
	if a, b := sumOf(s, late), sumOf(s, elsewhere); a != b {
		t.Errorf("sums = %s and %s; want the same for the same instant", a, b)
	}
}

func TestRulesSumDependsOnRulesNotFiles(t *testing.T) {
	hash := func(change func(*policy.Rule)) string {
		a, b := good(), good()
		b.ID = "other"
		change(&a)
		rs, err := policy.NewRules([]policy.Rule{b, a})
		if err != nil {
			t.Fatal(err)
		}
		return Rules(rs)
	}
	base := hash(func(*policy.Rule) {})
	if len(base) != 12 || strings.Trim(base, "0123456789abcdef") != "" {
		t.Errorf("Rules() = %q; want 12 hexadecimal digits", base)
	}
	if got := hash(func(r *policy.Rule) { r.File, r.Line = "/x.toml", 7 }); got != base {
		t.Errorf("Rules() of rules in another file = %s; want %s", got, base)
	}
	seen := map[string]bool{base: true, Rules(policy.Rules{}): true}
	for name, change := range map[string]func(*policy.Rule){
		"id": func(r *policy.Rule) { r.ID = "x" }, "mode": func(r *policy.Rule) { r.Mode = policy.Shadow }, "priority": func(r *policy.Rule) { r.Priority = 7 },
		"action": func(r *policy.Rule) { r.Action = policy.RuleReject }, "reason": func(r *policy.Rule) { r.Reason = policy.Other },
		"expires": func(r *policy.Rule) { r.Expires = r.Created.AddDate(1, 0, 0) }, "comment": func(r *policy.Rule) { r.Comment = "x" },
		"client": func(r *policy.Rule) { r.Match.Client = network("192.0.2.0/25") }, "author": func(r *policy.Rule) { r.Match.Author = domains("a.example") },
		"author of all below": func(r *policy.Rule) { r.Match.Author = domains(".a.example") },
		"spf_pass":            func(r *policy.Rule) { r.Match.SPFPass = domains("a.example") }, "dkim_pass": func(r *policy.Rule) { r.Match.DKIMPass = domains("a.example") },
		"rcpt_domain": func(r *policy.Rule) { r.Match.RcptDomain = domains("a.example") }, "listener": func(r *policy.Rule) { r.Match.Listener = []string{"a"} },
		"result": func(r *policy.Rule) { r.Match.Result = []string{"none"} },
	} {
		got := hash(change)
		if seen[got] {
			t.Errorf("Rules() with another %s = %s, which another set has", name, got)
		}
		seen[got] = true
	}
	year10000 := func(owner string) string {
		return hash(func(r *policy.Rule) { r.Owner, r.Expires = owner, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) })
	}
	if got := year10000("o"); seen[got] || got != year10000("o") || got == year10000("p") {
		t.Errorf("Rules() with a year that JSON cannot have = %s; want one of its own, the same each time", got)
	}
	if none, err := policy.NewRules(nil); err != nil || Rules(none) != Rules(policy.Rules{}) {
		t.Errorf("policy.NewRules(nil) = %v, %v; want the sum of the zero set", none, err)
	}
}

// Rows say by their sum that an operator had put a listener to monitor.
func TestSettingsSumTellsListenerThatIsSuspended(t *testing.T) {
	for _, p := range []policy.Profile{policy.Monitor, policy.Conformant, policy.Strict} {
		for _, share := range []uint8{0, 50, 100} {
			s := policy.Settings{Profile: p, EnforceShare: share, Quarantine: policy.Reject}
			if same := Settings(s.Suspend(noon)) == Settings(s); same != (p == policy.Monitor) {
				t.Errorf("%v, share %d: the suspended listener has the same sum: %v; want so only where nothing is enforced anyway", p, share, same)
			}
		}
	}
}
