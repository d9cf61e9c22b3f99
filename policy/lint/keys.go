package lint

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// key is one key of a match, a slice or a pointer. Lists that deny are keys of their
// own.
type key struct {
	name            string // of the field of policy.Match
	field, opposite []int  // its index, and that of the key by which the same is denied; nil where none is
	who             bool   // it is about who sends, and not about the class of a message
	denies          bool
	kind            proof // of a list of names
}

// whoKeys are about who sends. All others say what a message is about, or anybody can
// arrange them.
var whoKeys = []string{"Client", "IPRev", "SPFPass", "DKIMPass", "ARCPass", "HELO", "MailFrom", "NullPath", "ListID", "IsList", "Automatic", "BodyChanged"}

var kinds = map[string]proof{"IPRev": byName, "SPFPass": bySPF, "DKIMPass": byDKIM, "ARCPass": byARC}

// Words that a key can have, of which a message has one.
var (
	spfWords = []string{"none", "fail", "softfail", "neutral", "pass", "temperror", "permerror"}
	passWays = []string{"dkim", "spf", "both"}
	requests = []string{"reject", "quarantine", "none"}
	results  = []string{"fail", "none", "permerror", "temperror"}
	failing  = results[:1] // what a rule without result is about
	words    = map[string][]string{"SPF": spfWords, "PassBy": passWays, "Requested": requests, "Result": results}
	forms    = []policy.From{policy.FromOneMailbox, policy.FromSeveralMailboxes, policy.FromSeveralDomains, policy.FromMissing, policy.FromSeveralFields}
)

// keys are all that there are, so that one that is new is attacked as well. The zone is
// a part of the keys about time, which clocks compare.
var keys = func() (list []key) {
	match := reflect.TypeFor[policy.Match]()
	not, _ := match.FieldByName("Not")
	for f := range match.Fields() {
		k := key{name: f.Name, field: f.Index, who: slices.Contains(whoKeys, f.Name), kind: kinds[f.Name]}
		n, denied := not.Type.FieldByName(f.Name)
		opposite, _ := match.FieldByName(map[string]string{"HistoryMin": "HistoryMax", "HistoryMax": "HistoryMin"}[f.Name])
		switch k.opposite = opposite.Index; {
		case f.Name == not.Name || f.Name == "TZ":
			continue
		case denied:
			k.opposite = slices.Concat(not.Index, n.Index)
			list = append(list, key{k.name, k.opposite, k.field, k.who, true, k.kind})
		}
		list = append(list, k)
	}
	return list
}()

func of(m *policy.Match, field []int) reflect.Value {
	return reflect.ValueOf(m).Elem().FieldByIndex(field)
}

// exclusions returns matches of one key each: a message that one of them matches is
// not matched by m. Only those about who sends are asked for where who is set.
func exclusions(m *policy.Match, who bool) (list []asked) {
	if c := clocksOf(m); c != nil && !who {
		list = append(list, asked{clocks: []clock{{m, false}}})
	}
	for _, k := range keys {
		v := of(m, k.field)
		if v.IsNil() || who && !k.who {
			continue
		}
		if field, value := k.denial(v.Interface()); field != nil {
			var n asked
			of(&n.Match, field).Set(reflect.ValueOf(value))
			list = append(list, n)
		}
	}
	return list
}

// denial returns the field and the value that exclude v; a nil field where none does.
func (k *key) denial(v any) (field []int, value any) {
	switch v := v.(type) {
	case *bool:
		return k.field, new(!*v)
	case *int:
		if k.name == "HistoryMin" {
			return k.opposite, new(*v - 1)
		}
		return k.opposite, new(*v + 1)
	case []string:
		return k.field, others(words[k.name], v)
	case []policy.From:
		return k.field, others(forms, v)
	}
	return k.opposite, v
}

// meet returns what messages are like that are as x and y ask; ok is false where no
// message is found that is. Long lists are more work.
func (a *attack) meet(x, y *asked) (both asked, ok bool) {
	both = asked{Match: x.Match, clocks: slices.Concat(x.clocks, y.clocks), beside: x.beside}
	if x.Result == nil && y.Result != nil {
		both.Result = failing
	}
	for _, k := range keys {
		v, other := of(&both.Match, k.field), of(&y.Match, k.field)
		switch {
		case other.IsNil():
			continue
		case v.IsNil():
			v.Set(other)
		default:
			if v.Kind() == reflect.Slice {
				a.work += 1 + (v.Len()+other.Len())/8 + v.Len()*other.Len()/512
			}
			common, ok := k.common(v.Interface(), other.Interface())
			if !ok {
				return both, false
			}
			v.Set(reflect.ValueOf(common))
		}
		if v.Kind() == reflect.Slice && v.Len() == 0 {
			return both, false
		}
	}
	return both, true
}

// common returns what two values have in common; ok is false where that is nothing. It
// is x for keys that clocks compare.
func (k *key) common(x, y any) (both any, ok bool) {
	switch x := x.(type) {
	case *bool:
		return x, *x == *y.(*bool)
	case *int:
		if (*x < *y.(*int)) == (k.name == "HistoryMin") {
			return y, true
		}
	case []string:
		return common(x, y.([]string)), true
	case []policy.From:
		return common(x, y.([]policy.From)), true
	case []pattern.Domain:
		if k.denies {
			return slices.Concat(x, y.([]pattern.Domain)), true
		}
		return inBothLists(k.kind, x, y.([]pattern.Domain)), true
	case []pattern.Network:
		if k.denies {
			return slices.Concat(x, y.([]pattern.Network)), true
		}
		return inBoth(x, y.([]pattern.Network)), true
	}
	return x, true
}

// classOf returns what m asks for without the keys about who sends: what is left is the
// same for the plain message.
func classOf(m *asked) *asked {
	c := *m
	for _, k := range keys {
		if k.who {
			of(&c.Match, k.field).SetZero()
		}
	}
	c.sketch = sketchOf(&c.Match)
	return &c
}

// asksWho reports whether m has keys about who sends.
func asksWho(m *policy.Match) bool {
	return slices.ContainsFunc(keys, func(k key) bool { return k.who && !of(m, k.field).IsNil() })
}

// canonical writes a match in one way, whatever the order of its items.
func canonical(m *policy.Match) string {
	c := *m
	if c.Result == nil {
		c.Result = failing
	}
	list := []string{fmt.Sprint(c.TZ)}
	for _, k := range keys {
		v := of(&c, k.field)
		if v.Kind() == reflect.Pointer && !v.IsNil() {
			list = append(list, fmt.Sprint(k.name, v.Elem()))
		}
		for i := 0; v.Kind() == reflect.Slice && i < v.Len(); i++ {
			list = append(list, fmt.Sprint(k.name, k.denies, v.Index(i)))
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// others returns the items of list that out does not have.
func others[T comparable](list, out []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return slices.Contains(out, v) })
}

// common returns the items that both lists have.
func common[T comparable](a, b []T) []T { return others(b, others(b, a)) }

// inBothLists returns what is in both lists, the cheapest of each effort: an item of
// which both hold every name that stands for it, or else such a name.
func inBothLists(kind proof, a, b []pattern.Domain) (list []pattern.Domain) {
	out := func(name string) bool { return !oneHolds(a, name) || !oneHolds(b, name) }
	for _, w := range varied(names(kind, nil, nil, a, b)) {
		if slices.ContainsFunc(namesIn(w.item), out) {
			w.item = pattern.NewDomain(pattern.Exact, w.value)
		}
		list = append(list, w.item)
	}
	return list
}
