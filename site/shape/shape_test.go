package shape

import (
	"slices"
	"strings"
	"testing"

	"dmarcgate/config"
)

// A code that two keys share would make one of them the other in a stored row.
func TestShapingKeysHaveCodesOfTheirOwn(t *testing.T) {
	codes := make(map[byte]string)
	for _, k := range shapingKeys {
		if other, taken := codes[k.code]; taken {
			t.Errorf("%s and %s have the same code %q", k.key, other, k.code)
		}
		codes[k.code] = k.key
		if v := defaultShape[k.key]; v.text == "" || strings.Contains(v.text, ".") {
			t.Errorf("the default of %s is %q in shapes; want a text without a dot", k.key, v.text)
		}
	}
}

func TestShapesNameTheKeysThatDiffer(t *testing.T) {
	base := config.Default()
	base.Sampling.SecretFile = "/var/lib/dmarcgate/sampling.key"
	if got := Of(&base, nil); got != shapeRevision {
		t.Errorf("shapeOf(defaults) = %q; want the revision alone", got)
	}
	other := base
	other.Discovery.Method, other.Discovery.PSLFile, other.DKIM.MaxKeyBits, other.DNS.Timeout = "psl", "/list.dat", 2048, 4*config.Duration(1e9)
	tests := []struct {
		name     string
		was, now string
		want     []string
		known    bool
	}{
		{"the same", Of(&other, nil), Of(&other, nil), nil, true},
		{"from the defaults", Of(&base, nil), Of(&other, nil), []string{"discovery.method", "discovery.psl_file", "dkim.max_key_bits", "dns.timeout"}, true},
		{"to the defaults", Of(&other, nil), Of(&base, nil), []string{"discovery.method", "discovery.psl_file", "dkim.max_key_bits", "dns.timeout"}, true},
		{"a restart that has not come", Of(&other, &base), Of(&other, nil), []string{"dns.timeout"}, true},
		{"of an older program", "", Of(&base, nil), nil, false},
		{"of another revision", "0", Of(&base, nil), nil, false},
		{"with a key of a newer program", shapeRevision + "~1.", Of(&base, nil), nil, false},
		{"cut", shapeRevision + "b1k", Of(&base, nil), nil, false},
		{"with a key that has no value", shapeRevision + "b.", Of(&base, nil), nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changed, known := ChangedKeys(tt.was, tt.now)
			var got []string
			for _, c := range changed {
				got = append(got, c.Key)
			}
			if known != tt.known || known && !slices.Equal(got, tt.want) {
				t.Errorf("changedKeys(%q, %q) = %v, %v; want %v, %v", tt.was, tt.now, got, known, tt.want, tt.known)
			}
		})
	}
}

func FuzzChangedKeysReadsAnyShape(f *testing.F) {
	f.Add("1", "1")
	f.Add("1b1k.mAbCd.", "1r-_09.")
	f.Add("", "x")
	f.Fuzz(func(t *testing.T, was, now string) {
		_, known := ChangedKeys(was, now)
		if back, again := ChangedKeys(now, now); !again || back != nil {
			t.Errorf("changedKeys(%q, the same) = %v, %v; want none, known", now, back, again)
		}
		if known && was != now && !strings.HasPrefix(was, shapeRevision) {
			t.Errorf("changedKeys(%q) is known; want that it has no revision", was)
		}
	})
}

func TestDiscoveryIsThatOfTheConfiguration(t *testing.T) {
	for method, want := range map[string]string{"treewalk": "treewalk", "psl": "psl", "guess": ""} {
		c := config.Default()
		c.Discovery.Method, c.Limits.Recipients = method, 7
		if got := Discovery(Of(&c, nil)); got != want {
			t.Errorf("Discovery under %q = %q; want %q", method, got, want)
		}
	}
	for _, shape := range []string{"", "0", "1m", "x"} {
		if got := Discovery(shape); got != "" {
			t.Errorf("Discovery(%q) = %q; want none", shape, got)
		}
	}
}
