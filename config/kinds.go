package config

import (
	"cmp"
	"encoding"
	"fmt"
	"math"
	"slices"
	"strings"

	"dmarcgate/policy/pattern"
)

// field is one key: how a value from the file is read into a Config, and what
// makes the value read a good one.
type field struct {
	key      string            // its path
	read     func(v any) error // v is of the types that go-toml decodes into any
	check    func() error      // nil when everything that can be read is good
	required string            // the mend when the key is missing; "" when it may be
}

func required(mend string, f field) field {
	f.required = mend
	return f
}

// text is a text that is kept as it is written.
func text(key string, p *string, check func(string) error) field {
	return field{
		key:   key,
		read:  func(v any) error { return readAs(v, p) },
		check: func() error { return check(*p) },
	}
}

// choice is one of a closed list of words.
func choice(key string, p *string, words ...string) field {
	return text(key, p, func(s string) error { return oneOf(s, words) })
}

// wordOf is a value of a closed list that has its own type. values are those that
// the key may have, which may be fewer than the type has.
func wordOf[T fmt.Stringer](key string, p *T, values ...T) field {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = v.String()
	}
	return parsed(key, p, func(s string) (v T, err error) {
		if err := oneOf(s, words); err != nil {
			return v, err
		}
		return values[slices.Index(words, s)], nil
	})
}

func oneOf(s string, words []string) error {
	if slices.Contains(words, s) {
		return nil
	}
	if near := pattern.Nearest(s, words); near != "" {
		return faultf(fmt.Sprintf("did you mean %q? write %s", near, quoted(words)), "unknown word %q", s)
	}
	return faultf("write "+quoted(words), "unknown word %q", s)
}

// parsed is a text with a meaning that parse finds.
func parsed[T any](key string, p *T, parse func(string) (T, error)) field {
	return field{key: key, read: func(v any) error { return readParsed(v, p, parse) }}
}

// list is a list of such texts.
func list[T any](key string, p *[]T, parse func(string) (T, error)) field {
	return field{key: key, read: func(v any) error {
		var items []any
		if err := readAs(v, &items); err != nil {
			return err
		}
		values := make([]T, len(items))
		for i, item := range items {
			if err := readParsed(item, &values[i], parse); err != nil {
				return at(element("", i), err)
			}
		}
		*p = values
		return nil
	}}
}

func flag(key string, p *bool) field {
	return field{key: key, read: func(v any) error { return readAs(v, p) }}
}

func number(key string, p *int, low, high int) field {
	return field{
		key: key,
		read: func(v any) error {
			var n int64
			if err := readAs(v, &n); err != nil {
				return err
			}
			if err := between(n, int64(low), int64(high)); err != nil {
				return err // here too, since an int may have 32 bits
			}
			*p = int(n)
			return nil
		},
		check: func() error { return between(*p, low, high) },
	}
}

func duration(key string, p *Duration, low, high Duration) field {
	return field{
		key:   key,
		read:  func(v any) error { return readUnit(v, p) },
		check: func() error { return between(*p, low, high) },
	}
}

func size(key string, p *Size, low, high Size) field {
	return field{
		key:   key,
		read:  func(v any) error { return readUnit(v, p) },
		check: func() error { return between(*p, low, high) },
	}
}

func between[T cmp.Ordered](v, low, high T) error {
	if v < low || v > high {
		return faultf(fmt.Sprintf("write %v to %v", low, high), "%v is out of range", v)
	}
	return nil
}

// readUnit reads a text with a unit. A number gets the fault that says so.
func readUnit(v any, p encoding.TextUnmarshaler) error {
	switch v.(type) {
	case int64, float64:
		return p.UnmarshalText(fmt.Append(nil, v))
	}
	var s string
	if err := readAs(v, &s); err != nil {
		return err
	}
	return p.UnmarshalText([]byte(s))
}

func readParsed[T any](v any, p *T, parse func(string) (T, error)) error {
	var s string
	if err := readAs(v, &s); err != nil {
		return err
	}
	value, err := parse(s)
	if err == nil {
		*p = value
	}
	return err
}

// readAs takes v when it has the type of p.
func readAs[T any](v any, p *T) error {
	value, ok := v.(T)
	if !ok {
		want, mend := typeName(*p)
		have, _ := typeName(v)
		return faultf(mend, "is %s, not %s", have, want)
	}
	*p = value
	return nil
}

// typeName returns what TOML calls the type of v, and how it is written.
func typeName(v any) (name, mend string) {
	switch v.(type) {
	case string:
		return "a text", "write it in double quotes"
	case int64:
		return "a number", "write a whole number, without quotes or unit"
	case float64:
		return "a fraction", ""
	case bool:
		return "true or false", "write true or false, without quotes"
	case []any:
		return "a list", `write it in brackets: ["…", "…"]`
	case map[string]any:
		return "a table", ""
	}
	return "a date or time", ""
}

// share is a part of the messages in hundredths, kept in percent: all of them
// are 100. none says what to write for none of them.
func share(key string, p *uint8, none string) field {
	return field{key: key, read: func(v any) error {
		n, isWhole := v.(int64)
		part, isPart := v.(float64)
		if isWhole {
			part = float64(n)
		} else if !isPart {
			have, _ := typeName(v)
			return faultf("write it without quotes, as in 0.05", "is %s, not a number", have)
		}
		percent := math.Round(part * 100)
		switch {
		case part == 0:
			return faultf(none, "0 is none of the messages")
		case part > 1 && part <= 100:
			return faultf(fmt.Sprintf("write %v for %v percent", part/100, v), "%v is more than all", v)
		case !(part > 0 && part <= 1):
			return faultf("write 0.01 to 1", "%v is out of range", v)
		case math.Abs(part*100-percent) > 1e-9 || percent == 0:
			return faultf("write hundredths, 0.01 to 1", "%v is too fine", v)
		}
		*p = uint8(percent)
		return nil
	}}
}

func at(path string, err error) fault {
	f, ok := err.(fault)
	if !ok {
		f.text = err.Error()
	}
	f.at = path
	return f
}

// quoted lists words for a mend: "a", "b" or "c".
func quoted(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = fmt.Sprintf("%q", w)
	}
	last := len(q) - 1
	if last == 0 {
		return q[0]
	}
	return strings.Join(q[:last], ", ") + " or " + q[last]
}
