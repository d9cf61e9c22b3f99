package pattern

import (
	"strings"
	"testing"
	"time"
)

func zone(t *testing.T, name string) (z Zone) {
	t.Helper()
	if err := z.UnmarshalText([]byte(name)); err != nil {
		t.Fatal(err)
	}
	return z
}

func TestZoneTextRoundTrip(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+3"} {
		if got := zone(t, name).String(); got != name {
			t.Errorf("UnmarshalText(%q) = %q; want it again", name, got)
		}
	}
	if got := (Zone{}).String(); got != "UTC" {
		t.Errorf("the zero value = %q; want UTC", got)
	}
}

func TestZoneRefusesWhatIsNoPlace(t *testing.T) {
	for _, name := range []string{
		"", "Local", "localtime", "EST", "CEST", "+02:00", "Berlin", "europe/berlim", "Europe/Berlin ", "../etc/passwd", "/etc/passwd", "/", "Europe/", "Europe",
		"Europe/../Europe/Berlin", "right/Europe/Berlin", "posix/Europe/Berlin", "Europe/Berlin\x00", strings.Repeat("a/", 5000),
	} {
		z := Zone{time.FixedZone("before", 1)}
		if err := z.UnmarshalText([]byte(name)); err == nil || z.String() != "before" {
			t.Errorf("UnmarshalText(%q) = %v, %v; want an error, and the zone as it was", name, z, err)
		}
	}
}

// Clocks go from 2:00 to 3:00 on 2027-03-28 and from 3:00 to 2:00 on 2027-10-31.
func TestHoursFollowDaylightSavingTime(t *testing.T) {
	utc := func(month time.Month, day, hour, minute int) time.Time {
		return time.Date(2027, month, day, hour, minute, 0, 0, time.UTC)
	}
	tests := []struct {
		name  string
		hours Hours
		at    time.Time
		want  bool
	}{
		{"in winter, one hour ahead", Hours{9 * 60, 17 * 60}, utc(1, 15, 8, 0), true},
		{"in winter, before it begins", Hours{9 * 60, 17 * 60}, utc(1, 15, 7, 59), false},
		{"in summer, two hours ahead", Hours{9 * 60, 17 * 60}, utc(7, 15, 7, 0), true},
		{"in summer, after its end", Hours{9 * 60, 17 * 60}, utc(7, 15, 15, 0), false},
		{"the hour that is left out, from before", Hours{2 * 60, 3 * 60}, utc(3, 28, 0, 59), false},
		{"the hour that is left out, from after", Hours{2 * 60, 3 * 60}, utc(3, 28, 1, 0), false},
		{"the same the day before", Hours{2 * 60, 3 * 60}, utc(3, 27, 1, 0), true},
		{"a night with the hour left out", Hours{22 * 60, 6 * 60}, utc(3, 28, 3, 59), true},
		{"its end is an hour earlier", Hours{22 * 60, 6 * 60}, utc(3, 28, 4, 0), false},
		{"the hour that comes twice, first", Hours{2 * 60, 3 * 60}, utc(10, 31, 0, 30), true},
		{"the hour that comes twice, again", Hours{2 * 60, 3 * 60}, utc(10, 31, 1, 30), true},
		{"the hour that comes twice, over", Hours{2 * 60, 3 * 60}, utc(10, 31, 2, 0), false},
	}
	berlin := zone(t, "Europe/Berlin")
	for _, tt := range tests {
		if got := tt.hours.Holds(berlin.In(tt.at)); got != tt.want {
			t.Errorf("%s: %v holds at %v = %v; want %v", tt.name, tt.hours, tt.at, got, tt.want)
		}
	}
}

func TestWeekdayBeginsAtMidnightOfTheZone(t *testing.T) {
	berlin, sunday := zone(t, "Europe/Berlin"), Weekday(time.Sunday)
	for at, want := range map[time.Time]bool{
		time.Date(2027, 7, 3, 21, 59, 0, 0, time.UTC): false, time.Date(2027, 7, 3, 22, 0, 0, 0, time.UTC): true,
		time.Date(2027, 7, 4, 21, 59, 0, 0, time.UTC): true, time.Date(2027, 7, 4, 22, 0, 0, 0, time.UTC): false,
	} {
		if got := sunday.Holds(berlin.In(at)); got != want {
			t.Errorf("sun holds at %v = %v; want %v", at, got, want)
		}
	}
}
