package tomlfile

import (
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time, written in the file as a text with a unit: "250ms",
// "20s", "1h30m", "7d" (a day is 24 hours).
type Duration time.Duration

// Day is 24 hours.
const Day = Duration(24 * time.Hour)

const durationUnits = "units are ms, s, m, h and d"

// UnmarshalText reads a duration. A number without a unit is an error, zero
// included.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if isNumber(s) {
		return Faultf(`add one, as in "20s"; `+durationUnits, "%s has no unit", s)
	}
	if n, ok := strings.CutSuffix(s, "d"); ok {
		if days, err := strconv.ParseUint(n, 10, 16); err == nil {
			*d = Duration(days) * Day
			return nil
		}
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return Faultf(`write for example "20s"; `+durationUnits, "%q is not a duration", s)
	}
	*d = Duration(v)
	return nil
}

// Std returns the duration as package time has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns the duration as it is written in the file: several whole days
// in days, and none of the zero minutes and seconds of time.Duration's form.
func (d Duration) String() string {
	if d > Day && d%Day == 0 {
		return strconv.FormatInt(int64(d/Day), 10) + "d"
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Size is a number of bytes, written in the file as a text with a unit:
// "4MiB" (4 × 1024 × 1024), "50MB" (50 × 1000 × 1000), "512B".
type Size uint64

// Units of Size.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

var sizeUnits = []struct {
	name string
	size Size
}{
	{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB},
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3},
	{"B", 1}, // last: the others end in B too
}

const sizeUnitNames = "units are B, kB, MB, GB, KiB, MiB and GiB"

// UnmarshalText reads a size. A number without a unit is an error, zero
// included.
func (z *Size) UnmarshalText(text []byte) error {
	s := string(text)
	if isNumber(s) {
		return Faultf(`add one, as in "64MiB"; `+sizeUnitNames, "%s has no unit", s)
	}
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 32) // 2^32 GiB fits in 64 bits
		if err != nil {
			break
		}
		*z = Size(n) * u.size
		return nil
	}
	return Faultf(`write for example "64MiB"; `+sizeUnitNames, "%q is not a size", s)
}

// String returns the size as it is written in the file, in the first unit that
// divides it.
func (z Size) String() string {
	for _, u := range sizeUnits {
		if z != 0 && z%u.size == 0 {
			return strconv.FormatUint(uint64(z/u.size), 10) + u.name
		}
	}
	return "0B"
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}
