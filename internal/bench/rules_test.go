package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/results"
	"dmarcgate/results/sqlite"
)

func TestRulesDoWhatIsMeasured(t *testing.T) {
	contests, err := ruleContests()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range contests {
		for _, d := range c.contenders {
			if err := d.do(); err != nil {
				t.Errorf("%s, %s: %v", c.title, d.name, err)
			}
		}
	}
}

func TestAReplayIsHeldAgainstWhatIsPromised(t *testing.T) {
	good := replay{rows: 10, scan: []float64{10, 10}, whatIf: []float64{30, 40}, peak: 100 << 20}
	if got := strings.Join(good.facts(), "\n"); strings.Contains(got, "MISSED") || !strings.Contains(got, "3.50 (3.00-4.00) <= 4 ok") {
		t.Errorf("facts() = %q; want both kept", got)
	}
	bad := replay{rows: 10, scan: []float64{10}, whatIf: []float64{41}, peak: 256 << 20}
	if got := strings.Join(bad.facts(), "\n"); strings.Count(got, "MISSED") != 2 {
		t.Errorf("facts() = %q; want both missed", got)
	}
}

func TestTheStoreOfAReplayHasWhatIsSaidOfIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), storeFile)
	if err := fillReplay(t.Context(), path, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := bareScan(t.Context(), path, 100); err != nil {
		t.Error(err)
	}
	r, err := sqlite.OpenReader(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	by := map[string]int{}
	if err := r.Scan(t.Context(), results.Span{}, func(r results.Row) error {
		by[r.Facts.Authors[0].Verdict.Status.String()]++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if by["pass"] != 60 || by["fail"] != 30 || by["none"] != 10 {
		t.Errorf("results = %v; want 60 that pass, 30 that fail and 10 without a record", by)
	}
}
