package tomlfile

import (
	"testing"
	"time"
)

func TestDurationsNeedAUnit(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration
		text string // as String writes it
	}{
		{"250ms", 250 * time.Millisecond, "250ms"},
		{"20s", 20 * time.Second, "20s"},
		{"90s", 90 * time.Second, "1m30s"},
		{"15m", 15 * time.Minute, "15m"},
		{"1h30m", 90 * time.Minute, "1h30m"},
		{"24h", 24 * time.Hour, "24h"},
		{"7d", 168 * time.Hour, "7d"},
		{"0s", 0, "0s"},
	}
	for _, tt := range tests {
		var d Duration
		if err := d.UnmarshalText([]byte(tt.in)); err != nil || time.Duration(d) != tt.want || d.String() != tt.text {
			t.Errorf("Duration(%q) = %v, %v; want %s", tt.in, d, err, tt.text)
		}
	}
	for _, in := range []string{"", "0", "20", "-1", "1e3", "20 s", "d", "-1d", "1.5d", "99999999d", "20S", "2w", "inf"} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err == nil || d != 0 {
			t.Errorf("Duration(%q) = %v, %v; want an error and no value", in, d, err)
		}
	}
}

func TestSizesNeedAUnit(t *testing.T) {
	tests := []struct {
		in   string
		want Size
		text string
	}{
		{"512B", 512, "512B"},
		{"1024B", 1024, "1KiB"},
		{"4MiB", 4 << 20, "4MiB"},
		{"50MB", 50_000_000, "50MB"},
		{"50 MB", 50_000_000, "50MB"},
		{"1kB", 1000, "1kB"},
		{"64GiB", 64 << 30, "64GiB"},
		{"4294967295GiB", 4294967295 << 30, "4294967295GiB"},
		{"0B", 0, "0B"},
	}
	for _, tt := range tests {
		var z Size
		if err := z.UnmarshalText([]byte(tt.in)); err != nil || z != tt.want || z.String() != tt.text {
			t.Errorf("Size(%q) = %v, %v; want %s", tt.in, z, err, tt.text)
		}
	}
	for _, in := range []string{"", "0", "4096", "4M", "4mb", "4KB", "-1MiB", "1.5GiB", "MiB", "4294967296GiB", "4 M iB"} {
		var z Size
		if err := z.UnmarshalText([]byte(in)); err == nil || z != 0 {
			t.Errorf("Size(%q) = %v, %v; want an error and no value", in, z, err)
		}
	}
}
