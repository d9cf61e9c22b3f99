package rulefile

import (
	"time"

	"github.com/pelletier/go-toml/v2"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy/pattern"
)

// optional is a value that may be absent, which is not the same as its zero.
func optional[T any](key string, p **T, kind func(string, *T) tomlfile.Field) tomlfile.Field {
	v := new(T)
	f := kind(key, v)
	read := f.Read
	f.Read = func(written any) error {
		if err := read(written); err != nil {
			return err
		}
		*p = v
		return nil
	}
	return f
}

// word takes one of a closed list.
func word[T ~string](words []string) func(string) (T, error) {
	return func(s string) (T, error) { return T(s), tomlfile.OneOf(s, words) }
}

// texts is a list of texts with a meaning, which may be a single text.
func texts[T any](key string, p *[]T, parse func(string) (T, error)) tomlfile.Field {
	f := tomlfile.List(key, p, parse)
	read := f.Read
	f.Read = func(v any) error {
		if s, ok := v.(string); ok {
			v = []any{s}
		}
		return read(v)
	}
	return f
}

// date is a TOML date, which is its beginning in UTC, or a date with a time and an
// offset.
func date(key string, p *time.Time) tomlfile.Field {
	return tomlfile.Field{Key: key, Read: func(v any) error { return readDate(v, p, "") }}
}

// dateOrNever also takes the text "never", which is no time.
func dateOrNever(key string, p *time.Time) tomlfile.Field {
	return tomlfile.Field{Key: key, Read: func(v any) error {
		if v == "never" {
			return nil
		}
		return readDate(v, p, `, or "never"`)
	}}
}

func readDate(v any, p *time.Time, or string) error {
	switch v := v.(type) {
	case toml.LocalDate:
		*p = v.AsTime(time.UTC)
	case time.Time:
		if y := v.UTC().Year(); y < 1 || y > 9999 { // as it would be written
			return tomlfile.Faultf("write a year of four digits", "is too far away")
		}
		*p = v.UTC()
	case toml.LocalDateTime:
		return tomlfile.Faultf(`write the offset behind the time, as in 2026-11-02T18:00:00+01:00, or "Z" for UTC`, "does not say in which time zone the time is")
	default:
		have, _ := tomlfile.TypeName(v)
		return tomlfile.Faultf("write a day without quotes, as in 2026-11-02, or a moment, as in 2026-11-02T18:00:00Z"+or, "is %s, not a date", have)
	}
	return nil
}

// moment is a TOML date with a time, in UTC when it has no offset.
func moment(key string, p *time.Time) tomlfile.Field {
	return tomlfile.Field{Key: key, Read: func(v any) error {
		switch v := v.(type) {
		case time.Time:
			*p = v.UTC()
		case toml.LocalDateTime:
			*p = v.AsTime(time.UTC)
		default:
			return tomlfile.Faultf("write it without quotes, as in 2026-11-02T12:00:00Z", "is not a date with a time")
		}
		return nil
	}}
}

// parseHours reads "22:00-06:00".
func parseHours(s string) (h pattern.Hours, err error) {
	err = h.UnmarshalText([]byte(s))
	return h, tomlfile.AsFault(err)
}

// parseWeekday reads "mon".
func parseWeekday(s string) (d pattern.Weekday, err error) {
	err = d.UnmarshalText([]byte(s))
	return d, tomlfile.AsFault(err)
}

// parseZone reads "Europe/Berlin".
func parseZone(s string) (z pattern.Zone, err error) {
	err = z.UnmarshalText([]byte(s))
	return z, tomlfile.AsFault(err)
}
