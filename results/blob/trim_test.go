package blob

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/scale"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// hostile makes rows of messages whose senders choose everything that they can
// choose, and some more than they can.
type hostile struct{ *rand.Rand }

// text returns a text that may be long, may hold anything, and often is one that
// there was before.
func (h hostile) text() string {
	switch h.IntN(6) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s.%d.example", strings.Repeat("l", 240), h.IntN(1000))
	case 2:
		return strings.Repeat("é@\x00", h.IntN(200))
	case 3:
		return strings.Repeat("x", h.IntN(1<<h.IntN(13)))
	}
	return fmt.Sprintf("n%d.example", h.IntN(100))
}

// many returns a length of a list: mostly short, now and then above all limits.
func (h hostile) many() int {
	if h.IntN(3) > 0 {
		return h.IntN(4)
	}
	return h.IntN(1 << h.IntN(9))
}

// fill fills a value in all its depth.
func (h hostile) fill(v reflect.Value) {
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("fe80::1").WithZone(h.text())))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				h.fill(v.Field(i))
			}
		}
	case reflect.Slice:
		n := h.many()
		if v.Type() == reflect.TypeFor[[]policy.Author]() {
			n = h.IntN(policy.MaxAuthors + 1)
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			h.fill(v.Index(i))
		}
	case reflect.String:
		v.SetString(h.text())
	case reflect.Bool:
		v.SetBool(h.IntN(2) == 0)
	case reflect.Uint8:
		v.SetUint(uint64(h.IntN(3)))
	case reflect.Uint64:
		v.SetUint(h.Uint64())
	case reflect.Int, reflect.Int64:
		v.SetInt(h.Int64N(1 << 40))
	}
}

func (h hostile) row() results.Row {
	r := row("hostile")
	when := r.Facts.Time
	h.fill(reflect.ValueOf(&r.Facts).Elem())
	h.fill(reflect.ValueOf(&r.Decision).Elem())
	r.Facts.Time, r.Facts.Trimmed, r.Facts.Missing = when, nil, 0
	words := []string{policy.PressedSPF, policy.PressedHELO, policy.PressedDKIM, policy.PressedARC, policy.PressedSendsMail}
	r.Facts.Pressed = words[:h.IntN(len(words)+1)] // no text of a message
	for i := range r.Facts.Authors {               // names that long are refused before
		a := &r.Facts.Authors[i]
		a.Domain = fmt.Sprint(i, head(a.Domain, 250))
	}
	r.Decision.Author = ""
	if n := len(r.Facts.Authors); n > 0 && h.IntN(4) > 0 {
		r.Decision.Author = r.Facts.Authors[h.IntN(n)].Domain
	}
	return r
}

// Whatever a message is like, its row is within the limit, can be read, says what
// was left out, and is still about the same message.
func TestTrimKeepsHostileRowsWithinTheLimit(t *testing.T) {
	tooLarge, largest := 0, 0
	for seed := range uint64(2000 * min(scale.Of(t), 10)) {
		h := hostile{rand.New(rand.NewPCG(seed, 8))}
		before := h.row()
		shared := reflect.ValueOf(before)
		whole, kept := size(&before), clone(before)
		after := before
		trimmed := Trim(&after)
		if got := size(&after); got > MaxRowBytes {
			t.Fatalf("seed %d: a row of %d bytes was trimmed to %d; want at most %d\n%.2000v", seed, whole, got, MaxRowBytes, after)
		} else {
			largest = max(largest, got)
		}
		if !reflect.DeepEqual(shared.Interface(), kept) {
			t.Fatalf("seed %d: trim changed a list that the row shares with others", seed)
		}
		if large := whole > MaxRowBytes || len(before.Facts.Recipients) > maxRecipients; trimmed != large || (len(after.Facts.Trimmed) > 0) != large {
			t.Fatalf("seed %d: a row of %d bytes with %d recipients: trim() = %v, marks %q", seed, whole, len(before.Facts.Recipients), trimmed, after.Facts.Trimmed)
		}
		if trimmed {
			tooLarge++
			sameMessage(t, seed, before, after)
		}
		if back := there(t, after); !reflect.DeepEqual(back.Facts.Trimmed, after.Facts.Trimmed) {
			t.Fatalf("seed %d: marks read back = %q; want %q", seed, back.Facts.Trimmed, after.Facts.Trimmed)
		}
	}
	t.Logf("%d rows were too large; the largest has %d bytes now", tooLarge, largest)
	if tooLarge < 500 {
		t.Errorf("%d rows were too large; too few to say anything", tooLarge)
	}
}

func size(r *results.Row) int { return trimmer{r}.bytes() }

// clone copies a row in all its depth that trim may change.
func clone(r results.Row) results.Row {
	r.Facts.Authors = slices.Clone(r.Facts.Authors)
	r.Facts.DKIM = slices.Clone(r.Facts.DKIM)
	r.Facts.Recipients = slices.Clone(r.Facts.Recipients)
	r.Facts.ARC.Sealers = slices.Clone(r.Facts.ARC.Sealers)
	return r
}

// sameMessage checks what a row must not lose, and that what it lost is marked.
func sameMessage(t *testing.T, seed uint64, before, after results.Row) {
	t.Helper()
	if a, b := head(before.Author().Domain, maxText), after.Author().Domain; a != b {
		t.Fatalf("seed %d: author = %.300q; want %.300q", seed, b, a)
	}
	if a, b := before.Author().Verdict.Status, after.Author().Verdict.Status; a != b || before.Decision.Action != after.Decision.Action || after.Facts.Client.WithZone("") != before.Facts.Client.WithZone("") {
		t.Fatalf("seed %d: verdict, action or client changed", seed)
	}
	f, was := &after.Facts, &before.Facts
	for _, c := range []struct {
		less    bool
		mark    string
		missing policy.MissingFacts
	}{
		{len(f.Recipients) < len(was.Recipients), TrimmedRecipients, policy.MissingRecipients},
		{len(f.DKIM) < len(was.DKIM), TrimmedDKIM, policy.MissingSignatures},
		{len(f.ARC.Sealers) < len(was.ARC.Sealers), TrimmedARC, policy.MissingARC},
		{len(f.Authors) < len(was.Authors), TrimmedAuthors, policy.MissingSignatures},
		{len(after.Decision.Also) < len(before.Decision.Also), TrimmedRules, 0},
		{len(after.Decision.Shadow) < len(before.Decision.Shadow), TrimmedShadow, 0},
	} {
		if marked := slices.Contains(f.Trimmed, c.mark); c.less != marked || c.less && f.Missing&c.missing != c.missing {
			t.Fatalf("seed %d: %s left out: %v; marks %q, lacks %b", seed, c.mark, c.less, f.Trimmed, f.Missing)
		}
	}
}

func TestTrimOfLargeMessages(t *testing.T) {
	name := func(i int) string { return fmt.Sprintf("%s.%d.example", strings.Repeat("l", 230), i) }
	for _, tt := range []struct {
		name   string
		change func(*results.Row)
		want   string
	}{
		{"usual mail", func(*results.Row) {}, ""},
		{"fifty recipients", func(r *results.Row) {
			for i := range 49 {
				r.Facts.Recipients = append(r.Facts.Recipients, fmt.Sprintf("r%d.example", i))
			}
		}, ""},
		{"one more", func(r *results.Row) {
			for i := range 50 {
				r.Facts.Recipients = append(r.Facts.Recipients, fmt.Sprintf("r%d.example", i))
			}
		}, "recipients"},
		{"900 long recipients", func(r *results.Row) {
			for i := range 900 {
				r.Facts.Recipients = append(r.Facts.Recipients, name(i))
			}
		}, "recipients"},
		{"ten signatures of long names", func(r *results.Row) {
			for i := range 10 {
				r.Facts.DKIM = append(r.Facts.DKIM, policy.DKIM{Result: "pass", Domain: name(i), Selector: name(i + 10), Why: "signature verified"})
			}
		}, ""},
		{"ten more", func(r *results.Row) {
			for i := range 20 {
				r.Facts.DKIM = append(r.Facts.DKIM, policy.DKIM{Result: "fail", Domain: name(i), Selector: name(i + 20)})
			}
		}, "dkim"},
		{"fifty long sealers", func(r *results.Row) {
			for i := range 50 {
				r.Facts.ARC.Sealers = append(r.Facts.ARC.Sealers, policy.Sealer{Domain: name(i), Selector: name(i + 50)})
			}
		}, "arc"},
		{"what fifty sealers recorded", func(r *results.Row) {
			for i := range 50 {
				s := policy.Sealer{Domain: "list.example", Selector: "s"}
				for j := range 20 {
					s.Recorded = append(s.Recorded, policy.Recorded{Method: "spf", Result: "pass", Domain: fmt.Sprintf("d%d.%d.example", i, j)})
				}
				r.Facts.ARC.Sealers = append(r.Facts.ARC.Sealers, s)
			}
		}, "arc_recorded"},
		{"more parts than can be written", func(r *results.Row) {
			for range maxNested + 1 {
				r.Facts.ARC.Sealers = append(r.Facts.ARC.Sealers, policy.Sealer{Domain: "list.example"})
			}
		}, "arc"},
		{"a HELO name of 100 KB", func(r *results.Row) { r.Facts.Helo = strings.Repeat("h", 100_000) }, "texts"},
		{"a queue id of 100 KB", func(r *results.Row) { r.Facts.QueueID = strings.Repeat("q", 100_000) }, "texts"},
		{"a client name of 9 KB", func(r *results.Row) { r.Facts.ClientName = strings.Repeat("c", 9000) }, "texts"},
		{"a reason of 9 KB", func(r *results.Row) { r.Facts.Authors[0].Verdict.Why = strings.Repeat("r", 9000) }, "texts"},
		{"a thousand rules", func(r *results.Row) {
			for i := range 1000 {
				r.Decision.Also = append(r.Decision.Also, fmt.Sprintf("a-rule-with-a-name-%d", i))
			}
		}, "rules"},
		{"a thousand defects", func(r *results.Row) {
			for i := range 1000 {
				r.Facts.Authors[0].Defects = append(r.Facts.Authors[0].Defects, fmt.Sprintf("bad_%06d", i))
			}
		}, "defects"},
	} {
		r := row("q")
		tt.change(&r)
		Trim(&r)
		got := there(t, r)
		if n := size(&got); strings.Join(got.Facts.Trimmed, " ") != tt.want || n > MaxRowBytes {
			t.Errorf("%s: a row of %d bytes with marks %q; want at most %d with %q", tt.name, n, got.Facts.Trimmed, MaxRowBytes, tt.want)
		}
	}
}

// The signatures that say something of a message stay before those that anybody
// could have added.
func TestTrimKeepsSignaturesThatVerified(t *testing.T) {
	r := row("q")
	long := strings.Repeat("s", 250)
	r.Facts.DKIM = nil
	for i := range 40 {
		r.Facts.DKIM = append(r.Facts.DKIM, policy.DKIM{Result: "fail", Domain: fmt.Sprintf("%s.%d", long, i), Selector: long})
	}
	r.Facts.DKIM[38] = policy.DKIM{Result: "pass", Domain: "bank.example", Selector: "s1"}
	r.Facts.DKIM[20] = policy.DKIM{Result: "fail", HeaderOK: true, Domain: "list.example", Selector: "s1"}
	Trim(&r)
	var kept []string
	for _, s := range r.Facts.DKIM {
		if len(s.Domain) < 100 {
			kept = append(kept, s.Domain)
		}
	}
	if got := strings.Join(kept, " "); got != "list.example bank.example" {
		t.Errorf("of 40 signatures, %d are left, %q among them; want the two that verified", len(r.Facts.DKIM), got)
	}
}
