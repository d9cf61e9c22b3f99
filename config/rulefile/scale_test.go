package rulefile

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/pattern"
)

// What the largest set of rules may cost to load, tests and lint included.
const (
	mostCPU    = 10 * time.Second
	mostMemory = 512 << 20
)

// cpuTime is the processor time of this process.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// doorsAndWalls are n rules of which every second one refuses what others let in.
func doorsAndWalls(n int) map[string]string {
	files := make(map[string]string)
	for i := range n {
		action, match := "accept\"\nreason = \"trusted_forwarder", fmt.Sprintf(`spf_pass = ["partner-%d.example"]`, i)
		if i%2 == 1 {
			action, match = "reject", `requested = ["none"]`
		}
		files[fmt.Sprintf("%03d.toml", i/200)] += fmt.Sprintf("[[rule]]\nid = \"r-%d\"\nowner = \"o\"\ncreated = 2026-11-02\nexpires = 2027-05-01\nmode = \"enforce\"\npriority = %d\n"+
			"action = \"%s\"\n[rule.match]\nauthor = [\"org:author-%d.example\"]\n%s\n", i, i%1000, action, i/2, match)
	}
	return files
}

func TestLoadOfTheLargestSetsIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of a processor")
	}
	n := policy.MaxRules
	partners := siteRules(n - 1)
	partners["map.toml"] = strings.Replace(relayRule, `client = ["192.0.2.0/28"]`, `dkim_pass = ["map:partners.txt"]`, 1)
	for name, files := range map[string]map[string]string{"each for a network and an author, and a map": partners, "doors and walls": doorsAndWalls(n)} {
		t.Run(name, func(t *testing.T) {
			dir := ruleDir(t, files)
			var text strings.Builder
			for i := range pattern.MaxMapEntries {
				fmt.Fprintf(&text, "partner-%07d.example\n", i)
			}
			write(t, dir, "partners.txt", text.String())
			text.Reset()
			debug.FreeOSMemory()
			before := cpuTime(t)
			s, err := Load(dir, Options{Options: lint.Options{Now: midnight(2026, 11, 3)}})
			if err != nil {
				t.Fatal(strings.SplitN(err.Error(), "\n", 20)[0])
			}
			used := cpuTime(t) - before
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			t.Logf("%d rules, %d tests, %d findings: %v of a processor, %d MiB", s.Rules.Len(), s.Tests, len(s.Findings), used, (m.Sys-m.HeapReleased)>>20)
			if used > raceFactor*mostCPU || m.Sys-m.HeapReleased > mostMemory {
				t.Errorf("Load took %v of a processor and %d MiB; want at most %v and %d MiB", used, (m.Sys-m.HeapReleased)>>20, raceFactor*mostCPU, mostMemory>>20)
			}
			for _, f := range s.Findings {
				if f.Code == policy.CodeNotAttacked {
					t.Fatalf("%v; want that every rule is attacked", f)
				}
			}
		})
	}
}
