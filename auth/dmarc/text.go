package dmarc

import "fmt"

// The text forms let a stored verdict be read by people, and by a program in
// which the numbers have changed.

// MarshalText implements encoding.TextMarshaler.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText accepts what MarshalText writes.
func (p *Policy) UnmarshalText(text []byte) error {
	return unmarshal(p, text, None, Quarantine, Reject)
}

// MarshalText implements encoding.TextMarshaler.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts what MarshalText writes.
func (s *Status) UnmarshalText(text []byte) error {
	return unmarshal(s, text, StatusNone, Pass, Fail, TempError, PermError)
}

// MarshalText implements encoding.TextMarshaler.
func (c Cause) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText accepts what MarshalText writes.
func (c *Cause) UnmarshalText(text []byte) error {
	return unmarshal(c, text, CauseNone, CauseOurs, CauseDomain, CauseClient, CausePressure)
}

func unmarshal[T fmt.Stringer](v *T, text []byte, values ...T) error {
	for _, candidate := range values {
		if candidate.String() == string(text) {
			*v = candidate
			return nil
		}
	}
	return fmt.Errorf("dmarc: %q is none of %v", text, values)
}
