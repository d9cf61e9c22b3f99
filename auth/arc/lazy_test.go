package arc

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"dmarcgate/auth/dkim"
)

// selectors is a chain of n sets, each field of which has a key of its own.
func selectors(t *testing.T, n int) *letter {
	t.Helper()
	l := newLetter()
	for i := 1; i <= n; i++ {
		l.seal(t, hop{selector: fmt.Sprintf("s%d", i), message: fmt.Sprintf("m%d", i)})
	}
	return l
}

// Keys are fetched from the newest to the oldest, and none behind what fails.
func TestFinishFetchesKeysNewestFirstAndNoneInVain(t *testing.T) {
	other := selectors(t, 6)
	other.body = "x\r\n"
	for _, tt := range []struct {
		name string
		l    *letter
		dns  *dns
		want []string // selectors, those of a batch in any order
	}{
		{"another body", other, &dns{}, nil},
		{"the newest signature has no key", selectors(t, 6), &dns{without: "m6."}, []string{"m6"}},
		{"the newest signature's key does not come", selectors(t, 6), &dns{fails: "m6."}, []string{"m6"}},
		{"the newest seal has no key", selectors(t, 6), &dns{without: "s6."}, []string{"m6", "s3", "s4", "s5", "s6"}},
		{"a seal of the second batch has none", selectors(t, 6), &dns{without: "s2."}, []string{"m6", "s3", "s4", "s5", "s6", "s1", "s2"}},
		{"an older signature has none", selectors(t, 3), &dns{without: "m2."}, []string{"m3", "s1", "s2", "s3", "m2"}},
		{"all is well", selectors(t, 3), &dns{}, []string{"m3", "s1", "s2", "s3", "m2", "m1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			validate(tt.dns, tt.l.text())
			var got []string
			for _, name := range tt.dns.queried {
				selector, _, _ := strings.Cut(name, ".")
				got = append(got, selector)
			}
			// The seals of a batch are fetched at once.
			for from := 0; from < len(got); {
				batch := 1
				for got[from][0] == 's' && batch < maxBatch && from+batch < len(got) && got[from+batch][0] == 's' {
					batch++
				}
				slices.Sort(got[from : from+batch])
				from += batch
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("keys = %q; want %q", got, tt.want)
			}
		})
	}
}

// atOnce counts the lookups under way.
type atOnce struct {
	dns
	now, most atomic.Int64
}

func (d *atOnce) TXT(ctx context.Context, name string) ([]string, error) {
	n := d.now.Add(1)
	defer d.now.Add(-1)
	for most := d.most.Load(); n > most && !d.most.CompareAndSwap(most, n); most = d.most.Load() {
	}
	runtime.Gosched() // others come in, if they may
	return d.dns.TXT(ctx, name)
}

func TestFinishFetchesFewKeysAtOnce(t *testing.T) {
	d := &atOnce{}
	if got := validate(d, selectors(t, MaxSets).text()); got.Status != Pass {
		t.Fatalf("result = %+v; want pass", got)
	}
	if most := d.most.Load(); most > maxBatch {
		t.Errorf("lookups at once = %d; want at most %d", most, maxBatch)
	}
}

func TestUncheckedLooksNothingUp(t *testing.T) {
	for _, tt := range []struct {
		name string
		l    *letter
		want Status
		sets int
	}{
		{"no chain", newLetter(), None, 0},
		{"one set", selectors(t, 1), NotChecked, 1},
		{"fifty sets", selectors(t, MaxSets), NotChecked, MaxSets},
		{"a chain without its structure", newLetter().top("ARC-Seal: i=1; cv=none\r\n"), Fail, 0},
		{"a chain sealed as failed", newLetter().seal(t, hop{cv: "fail"}), Fail, 0},
		{"a chain that cannot verify", newLetter().seal(t, hop{names: "subject"}), Fail, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, body := headerOf(tt.l.text())
			d := &dns{}
			run := dkim.Start(t.Context(), d, h, dkim.Options{})
			a := Start(run)
			run.Write(body)
			run.Finish()
			if got := a.Unchecked(); got.Status != tt.want || len(got.Sets) != tt.sets || len(d.queried) != 0 {
				t.Errorf("Unchecked() = %+v after %d lookups; want %v of %d sets after none", got, len(d.queried), tt.want, tt.sets)
			}
		})
	}
}
