package tomlfile

import (
	"cmp"
	"encoding"
	"fmt"
	"math"
	"slices"

	"dmarcgate/policy/pattern"
)

// Field is one key: how a value from the file is read into a Config, and what
// makes the value read a good one.
type Field struct {
	Key      string            // its path
	Read     func(v any) error // v is of the types that go-toml decodes into any
	Check    func() error      // nil when everything that can be read is good
	required string            // the fix when the key is missing; "" when it may be
}

// Required makes f a key that each table of its kind must have. fix says what to
// write where it is missing.
func Required(fix string, f Field) Field {
	f.required = fix
	return f
}

// Text is a text that is kept as it is written.
func Text(key string, p *string, check func(string) error) Field {
	return Field{
		Key:   key,
		Read:  func(v any) error { return readAs(v, p) },
		Check: func() error { return check(*p) },
	}
}

// Choice is one of a closed list of words.
func Choice(key string, p *string, words ...string) Field {
	return Text(key, p, func(s string) error { return OneOf(s, words) })
}

// WordOf is a value of a closed list that has its own type. values are those that
// the key may have, which may be fewer than the type has.
func WordOf[T fmt.Stringer](key string, p *T, values ...T) Field {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = v.String()
	}
	return Parsed(key, p, func(s string) (v T, err error) {
		if err := OneOf(s, words); err != nil {
			return v, err
		}
		return values[slices.Index(words, s)], nil
	})
}

// OneOf returns a fault for a text that is none of words.
func OneOf(s string, words []string) error {
	if slices.Contains(words, s) {
		return nil
	}
	if near := pattern.Nearest(s, words); near != "" {
		return Faultf(fmt.Sprintf("did you mean %q? write %s", near, Quoted(words)), "unknown word %q", s)
	}
	return Faultf("write "+Quoted(words), "unknown word %q", s)
}

// Parsed is a text with a meaning that parse finds.
func Parsed[T any](key string, p *T, parse func(string) (T, error)) Field {
	return Field{Key: key, Read: func(v any) error { return readParsed(v, p, parse) }}
}

// List is a list of texts with a meaning that parse finds.
func List[T any](key string, p *[]T, parse func(string) (T, error)) Field {
	return Field{Key: key, Read: func(v any) error {
		var items []any
		if err := readAs(v, &items); err != nil {
			return err
		}
		values := make([]T, len(items))
		for i, item := range items {
			if err := readParsed(item, &values[i], parse); err != nil {
				return FaultAt(Element("", i), err)
			}
		}
		*p = values
		return nil
	}}
}

// Flag is true or false.
func Flag(key string, p *bool) Field {
	return Field{Key: key, Read: func(v any) error { return readAs(v, p) }}
}

// NumberBetween is a whole number, from low to high.
func NumberBetween(key string, p *int, low, high int) Field {
	return Field{
		Key: key,
		Read: func(v any) error {
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
		Check: func() error { return between(*p, low, high) },
	}
}

// DurationBetween is a text with a unit of time, from low to high.
func DurationBetween(key string, p *Duration, low, high Duration) Field {
	return Field{
		Key:   key,
		Read:  func(v any) error { return readUnit(v, p) },
		Check: func() error { return between(*p, low, high) },
	}
}

// SizeBetween is a text with a unit of bytes, from low to high.
func SizeBetween(key string, p *Size, low, high Size) Field {
	return Field{
		Key:   key,
		Read:  func(v any) error { return readUnit(v, p) },
		Check: func() error { return between(*p, low, high) },
	}
}

func between[T cmp.Ordered](v, low, high T) error {
	if v < low || v > high {
		return Faultf(fmt.Sprintf("write %v to %v", low, high), "%v is out of range", v)
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
		want, fix := TypeName(*p)
		have, _ := TypeName(v)
		return Faultf(fix, "is %s, not %s", have, want)
	}
	*p = value
	return nil
}

// TypeName returns what TOML calls the type of v, and how it is written.
func TypeName(v any) (name, fix string) {
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

// Share is a part of the messages in hundredths, kept in percent: all of them
// are 100. none says what to write for none of them.
func Share(key string, p *uint8, none string) Field {
	return Field{Key: key, Read: func(v any) error {
		n, isWhole := v.(int64)
		part, isPart := v.(float64)
		if isWhole {
			part = float64(n)
		} else if !isPart {
			have, _ := TypeName(v)
			return Faultf("write it without quotes, as in 0.05", "is %s, not a number", have)
		}
		percent := math.Round(part * 100)
		switch {
		case part == 0:
			return Faultf(none, "0 is none of the messages")
		case part > 1 && part <= 100:
			return Faultf(fmt.Sprintf("write %v for %v percent", part/100, v), "%v is more than all", v)
		case !(part > 0 && part <= 1):
			return Faultf("write 0.01 to 1", "%v is out of range", v)
		case math.Abs(part*100-percent) > 1e-9 || percent == 0:
			return Faultf("write hundredths, 0.01 to 1", "%v is too fine", v)
		}
		*p = uint8(percent)
		return nil
	}}
}
