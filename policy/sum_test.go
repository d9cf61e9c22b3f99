package policy

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"dmarcgate/policy/pattern"
)

// summed is settings in which everything is set that a decision can depend on.
func summed() (Settings, Rule) {
	r := Rule{ID: "r", Owner: "o", Comment: "c", Created: noon, Mode: Enforce, Action: RuleAccept, Reason: MailingList}
	s := Settings{
		Profile: Strict, EnforceShare: 50, Quarantine: Tag, TempOurs: Tag, TempDomain: Tag, MaxDefer: time.Hour,
		TrustedForwarders: TrustedForwarders{Sealers: []string{"a.example"}, Networks: prefixes("192.0.2.0/24"), Domains: pats("a.example")},
	}
	return s, r
}

func sumOf(s Settings, r Rule) string {
	s.Rules = compile([]Rule{r.clone()})
	return s.Sum()
}

// Whoever adds a field to settings or rules need not think of Sum, and cannot
// leave it out.
func TestSumCoversEveryDecidingField(t *testing.T) {
	s, r := summed()
	base := sumOf(s, r)
	if len(base) != sumDigits || base != sumOf(s, r) {
		t.Errorf("Sum() = %q, then %q; want the same digits", base, sumOf(s, r))
	}
	seen := map[string]string{base: "nothing"}
	check := func(name string, s Settings, r Rule) {
		sum := sumOf(s, r)
		if other, taken := seen[sum]; taken {
			t.Errorf("Sum() with another %s = %s, as with another %s", name, sum, other)
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
			t.Errorf("Sum() with another %s = %s; want %s, nothing is decided by it", name, sum, base)
		}
	})
}

// eachField calls f for the fields of a struct and of those within it.
func eachField(t *testing.T, typ reflect.Type, at []int, f func(name string, path []int)) {
	t.Helper()
	for field := range typ.Fields() {
		path := append(append([]int(nil), at...), field.Index...)
		switch {
		case field.Type == reflect.TypeFor[Rules](): // by compile
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
			*p = pats("new.example")[0]
		case *pattern.Network:
			*p = nets("198.51.100.0/24")[0]
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
		m := pattern.NewDomainMap("maps/m", pats(items...)).Pattern()
		r.Match = Match{DKIMPass: []pattern.Domain{m}}
		sums[sumOf(s, r)] = true
		r.Match = Match{Not: Exclude{DKIMPass: []pattern.Domain{m}}}
		sums[sumOf(s, r)] = true
	}
	for _, items := range [][]string{{}, {"192.0.2.0/24"}} {
		r.Match = Match{Client: []pattern.Network{pattern.NewNetMap("maps/m", prefixes(items...)).Pattern()}}
		sums[sumOf(s, r)] = true
	}
	if len(sums) != 10 {
		t.Errorf("10 settings have %d sums; want one each", len(sums))
	}
	one, other := r, r
	one.Match = Match{Client: []pattern.Network{pattern.NewNetMap("m", nil).Pattern()}}
	other.Match = Match{Client: []pattern.Network{pattern.NewNetMap("m", prefixes("192.0.2.0/24")).Pattern()}}
	if a, b := compile([]Rule{one}).Hash(), compile([]Rule{other}).Hash(); a == b {
		t.Errorf("Hash() = %s with another map; want another", a)
	}
}

func TestSumIgnoresRulesThatAreOff(t *testing.T) {
	s, r := summed()
	off := r
	off.ID, off.Mode = "off", Off
	without := s.Sum()
	if s.Rules = compile([]Rule{off}); s.Sum() != without {
		t.Errorf("Sum() with a rule that is off = %s; want %s, as without it", s.Sum(), without)
	}
	if s.Rules = compile([]Rule{r}); s.Sum() == without {
		t.Errorf("Sum() with a rule = %s, as without it", s.Sum())
	}
	late := r
	late.Expires = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	elsewhere := late
	elsewhere.Expires = late.Expires.In(time.FixedZone("", 3600))
	if a, b := sumOf(s, late), sumOf(s, elsewhere); a != b {
		t.Errorf("sums = %s and %s; want the same for the same instant", a, b)
	}
}
