package main

import (
	"debug/buildinfo"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// record is one run: its circumstances, and medians by ROW.COLUMN, for example
// mix_ack.cpu_ms.
type record map[string]string

// runColumns are the circumstances. In the file of recorded runs, tab-separated
// with a header line, they stand before each figure: its name and its value.
var runColumns = []string{"date", "revision", "go", "cores", "load", "messages", "connections", "repeat"}

// readHistory returns the recorded runs, the oldest first; a file that is not
// there has none.
func readHistory(path string) ([]record, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tsv := csv.NewReader(f)
	tsv.Comma, tsv.FieldsPerRecord = '\t', len(runColumns)+2
	lines, err := tsv.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var out []record
	for i, line := range lines {
		if i == 0 {
			continue
		}
		if len(out) == 0 || out[len(out)-1]["date"] != line[0] {
			rec := make(record)
			for k, name := range runColumns {
				rec[name] = line[k]
			}
			out = append(out, rec)
		}
		out[len(out)-1][line[len(runColumns)]] = line[len(runColumns)+1]
	}
	return out, nil
}

// book is the history with the run that will be entered into it.
type book struct {
	past    []record
	now     record
	figures []string // of now, in order
}

// newBook reads the history for a run that is about to begin.
func newBook(path string, opts options) (*book, error) {
	past, err := readHistory(path)
	if err != nil {
		return nil, err
	}
	return &book{past: past, now: newRecord(opts, time.Now())}, nil
}

// enter enters rows, and returns the last run that has such rows, or nil.
func (b *book) enter(rows []*row) record {
	figures := b.now.enter(rows)
	b.figures = append(b.figures, figures...)
	for _, rec := range slices.Backward(b.past) {
		if slices.ContainsFunc(figures, func(name string) bool { return rec[name] != "" }) {
			return rec
		}
	}
	return nil
}

// save appends the run to the history.
func (b *book) save(path string) error {
	var text strings.Builder
	if b.past == nil {
		text.WriteString(strings.Join(append(slices.Clone(runColumns), "figure", "value"), "\t") + "\n")
	}
	for _, name := range b.figures {
		for _, c := range runColumns {
			text.WriteString(b.now[c] + "\t")
		}
		text.WriteString(name + "\t" + b.now[name] + "\n")
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text.String())
	return errors.Join(err, f.Close())
}

// newRecord makes the record of a run that is about to begin.
func newRecord(opts options, now time.Time) record {
	revision, goVersion := builtFrom(opts.daemon)
	return record{
		"date": now.UTC().Format(time.RFC3339), "revision": revision, "go": goVersion,
		"cores": strconv.Itoa(runtime.NumCPU()), "load": machineLoad(),
		"messages": strconv.Itoa(opts.messages), "connections": strconv.Itoa(opts.connections), "repeat": strconv.Itoa(opts.repeat),
	}
}

// enter puts the medians into the record, and returns their names in order.
func (rec record) enter(rows []*row) (figures []string) {
	for _, r := range rows {
		for c := range columns {
			if v := over(r.samples, c).median; !math.IsNaN(v) {
				name := r.key + "." + keys[c]
				rec[name] = strconv.FormatFloat(v, 'g', 5, 64)
				figures = append(figures, name)
			}
		}
	}
	return figures
}

// builtFrom says what a binary was built from and with.
func builtFrom(path string) (revision, goVersion string) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "unknown", "unknown"
	}
	return revisionOf(info), info.GoVersion
}

// revisionOf returns the commit in a binary, with "+" when there were changes
// beside it. A binary built with -buildvcs=false has none; then it is that of
// the checkout in which this runs.
func revisionOf(info *debug.BuildInfo) string {
	set := make(map[string]string)
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	revision := set["vcs.revision"]
	if revision == "" {
		return checkoutRevision()
	}
	if set["vcs.modified"] == "true" {
		return revision[:min(len(revision), revisionLength)] + "+"
	}
	return revision[:min(len(revision), revisionLength)]
}

// revisionLength is that of git's short names, and some.
const revisionLength = 12

func checkoutRevision() string {
	out, err := exec.Command("git", "--no-optional-locks", "describe", "--always", "--exclude=*", "--dirty=+",
		fmt.Sprintf("--abbrev=%d", revisionLength)).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// compared are the columns that the comparison shows.
var compared = []column{ratio, p50Off, rateOff, cpu, rate, objects}

// compare prints a run beside an earlier one.
func compare(w io.Writer, rows []*row, now, old record) {
	fmt.Fprintf(w, "\nagainst %s, revision %s, %s, %s cores, load %s, %s messages, %s connections:\n",
		old["date"], old["revision"], old["go"], old["cores"], old["load"], old["messages"], old["connections"])
	for _, r := range rows {
		line := ""
		for _, c := range compared {
			name := r.key + "." + keys[c]
			line += change(keys[c], old[name], now[name])
		}
		if line != "" {
			fmt.Fprintf(w, "  %s:%s\n", r.title, line)
		}
	}
}

// change says how a figure has changed; nothing when one of both is missing.
func change(name, old, now string) string {
	a, errA := strconv.ParseFloat(old, 64)
	b, errB := strconv.ParseFloat(now, 64)
	if errA != nil || errB != nil || a == 0 {
		return ""
	}
	return fmt.Sprintf(" %s %s → %s (%+.0f %%)", name, old, now, (b/a-1)*100)
}
