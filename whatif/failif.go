package whatif

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Condition is a bound on what a candidate may change: "relaxed>0.1%".
type Condition struct {
	text    string
	name    string
	orEqual bool
	bound   *big.Rat
	percent bool // of the messages; otherwise their number
}

// quantities are what conditions can be about, by name.
var quantities = []struct {
	name  string
	value func(*tally) int64
}{
	{"changed", func(t *tally) int64 { return t.Changed }},
	{"relaxed", func(t *tally) int64 { return t.Relaxed }},
	{"tightened", func(t *tally) int64 { return t.Tightened }},
	{"rejected", func(t *tally) int64 { return t.Rejected }},
	{"quarantined", func(t *tally) int64 { return t.Quarantined }},
	{"deferred", func(t *tally) int64 { return t.Deferred }},
	{"cannot_tell", func(t *tally) int64 { return t.CannotTell }},
}

// maxDigits bounds the number in a condition.
const maxDigits = 18

// ParseCondition reads a name, ">" or ">=", and a number, which may have a "%".
// The error says at which character it is wrong.
func ParseCondition(text string) (Condition, error) {
	c := Condition{text: text}
	wrong := func(rest, why string) (Condition, error) {
		return Condition{}, fmt.Errorf("--fail-if %q: at character %d: %s", text, len(text)-len(rest)+1, why)
	}
	blank := func(s string) string { return strings.TrimLeft(s, " ") }
	word := func(s, of string) int { return len(s) - len(strings.TrimLeft(s, of)) }

	rest := blank(text)
	n := word(rest, "abcdefghijklmnopqrstuvwxyz_")
	names := make([]string, len(quantities))
	for i, q := range quantities {
		names[i] = q.name
	}
	if c.name = rest[:n]; !slices.Contains(names, c.name) {
		return wrong(rest, "write one of "+strings.Join(names, ", "))
	}
	rest = blank(rest[n:])
	if !strings.HasPrefix(rest, ">") {
		return wrong(rest, "write > or >=")
	}
	if rest = rest[1:]; strings.HasPrefix(rest, "=") {
		c.orEqual, rest = true, rest[1:]
	}
	rest = blank(rest)
	if n = word(rest, "0123456789."); n == 0 || n > maxDigits {
		return wrong(rest, "write a number, as 100, or a share of the messages, as 0.1%")
	}
	number, after := rest[:n], blank(rest[n:])
	if strings.HasPrefix(after, "%") {
		c.percent, after = true, blank(after[1:])
	}
	if after != "" {
		return wrong(after, "nothing may follow the number but %")
	}
	bound, ok := new(big.Rat).SetString(number)
	switch {
	case !ok || strings.HasPrefix(number, ".") || strings.HasSuffix(number, "."):
		return wrong(rest, fmt.Sprintf("%s is not a number", number))
	case !c.percent && !bound.IsInt():
		return wrong(rest, fmt.Sprintf("%s messages cannot be: write a whole number, or a share with %%", number))
	case c.percent && bound.Cmp(big.NewRat(100, 1)) >= 0 && !(c.orEqual && number == "100"):
		return wrong(rest, "this never holds: there is no more than 100%")
	case c.orEqual && bound.Sign() == 0:
		return wrong(rest, "this always holds: write >0")
	}
	c.bound = bound
	return c, nil
}

// count is what the condition is about.
func (c Condition) count(t *tally) int64 {
	for _, q := range quantities {
		if q.name == c.name {
			return q.value(t)
		}
	}
	return 0
}

// holds reports whether so much has changed. A share of no messages is 0 %.
func (c Condition) holds(t *tally) bool {
	have := big.NewRat(c.count(t), 1)
	if c.percent && t.Messages > 0 {
		have.Mul(have, big.NewRat(100, t.Messages))
	}
	order := have.Cmp(c.bound)
	return order > 0 || c.orEqual && order == 0
}
