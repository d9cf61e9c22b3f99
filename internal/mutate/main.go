// Command mutate changes the code of a package in one small way at a time and
// runs the package's tests on each change: a negated condition, a comparison
// one off, a statement left out. A change that no test notices survives, and
// says that a line is not tested, or not needed.
//
//	go run ./internal/mutate [-sample N] [-parallel N] auth/dmarc policy
//
// Survivors that cannot be told from the original, or that nobody needs to
// tell, stand in survivors.txt with the reason. It ends with 1 when another one
// survives, when less than 95 % are killed, or when an explanation is not true
// any more.
//
// It is not for packages whose tests take long: each change costs a compilation
// and a run of all of them. The code in the tree is never affected (go test
// -overlay).
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// leastKilled is the part of the changes that tests must notice, in percent.
const leastKilled = 95

// options are the flags.
type options struct {
	sample   int    // changes for each package; 0 for all
	seed     uint64 // which ones
	parallel int
	explain  string // file
	root     string // of the module
	list     bool
	only     string
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.sample, "sample", 0, "changes for each package, chosen by -seed; 0 for all")
	flags.Uint64Var(&o.seed, "seed", 1, "which changes a sample has")
	flags.IntVar(&o.parallel, "parallel", 2, "changes tested at once")
	flags.StringVar(&o.explain, "explain", "internal/mutate/survivors.txt", "survivors that are explained")
	flags.StringVar(&o.root, "root", ".", "folder of the module")
	flags.StringVar(&o.only, "only", "", "only changes that have this text in their names")
	flags.BoolVar(&o.list, "list", false, "say what would be changed, and test nothing")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	explained, err := readExplained(filepath.Join(o.root, o.explain))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	good := true
	for _, folder := range flags.Args() {
		ok, err := o.mutate(folder, explained, stdout)
		if err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", folder, err)
			return 2
		}
		good = good && ok
	}
	if !good {
		return 1
	}
	return 0
}

// mutate tests the changes of one package and reports whether it is good.
func (o options) mutate(folder string, explained explanations, out io.Writer) (bool, error) {
	all, err := mutants(o.root, folder)
	if err != nil {
		return false, err
	}
	c, err := newCompiler(o.root, folder)
	if err != nil {
		return false, err
	}
	all = slices.DeleteFunc(all, func(m mutant) bool { return !strings.Contains(m.key, o.only) || !c.compiles(m) })
	chosen := sample(all, o.sample, o.seed)
	if o.list {
		for _, m := range chosen {
			fmt.Fprintln(out, m.key)
		}
		return true, nil
	}
	if err := o.original(folder); err != nil {
		return false, err
	}
	start := time.Now()
	t := o.test(folder, chosen, func(m mutant, fate fate) {
		if _, known := explained[m.key]; fate == survived && !known {
			fmt.Fprintf(out, "SURVIVED %s (line %d)\n", m.key, m.line)
		}
	})
	return t.report(out, folder, explained, o.sample == 0 && o.only == "", time.Since(start)), nil
}

// tally is what became of the changes of one package.
type tally struct {
	fates map[string]fate // by key
}

// report prints the figures and returns whether they are good enough. An
// explanation of something that does not survive is only seen when all changes
// were made.
func (t tally) report(out io.Writer, folder string, explained explanations, whole bool, took time.Duration) bool {
	counts := map[fate]int{}
	unexplained, stale := 0, 0
	for key, fate := range t.fates {
		counts[fate]++
		if _, known := explained[key]; fate == survived && !known {
			unexplained++
		}
	}
	for _, key := range explained.of(folder) {
		if fate, made := t.fates[key]; whole && (!made || fate != survived) {
			fmt.Fprintf(out, "EXPLAINED BUT DOES NOT SURVIVE %s\n", key)
			stale++
		}
	}
	tested := counts[killed] + counts[survived]
	percent := 0.0
	if tested > 0 {
		percent = 100 * float64(counts[killed]) / float64(tested)
	}
	fmt.Fprintf(out, "%s: %d changes, %d killed (%.1f %%), %d survived, %d of them not explained; %s\n",
		folder, tested, counts[killed], percent, counts[survived], unexplained, took.Round(time.Second))
	return unexplained == 0 && stale == 0 && percent >= leastKilled
}
