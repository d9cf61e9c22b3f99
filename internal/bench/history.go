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
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// record is one run in the history: values by the name of their column.
type record map[string]string

// history is the file of recorded runs: tab-separated, a header line first. A
// run may have columns that earlier ones lack, and lack theirs.
type history struct {
	columns []string
	records []record
}

// runColumns come first; the figures follow as KEY.COLUMN, for example
// ack.cpu_ms.
var runColumns = []string{"date", "revision", "go", "cores", "load", "messages", "connections", "repeat"}

// readHistory reads the file; one that is not there is empty.
func readHistory(path string) (*history, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &history{columns: slices.Clone(runColumns)}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := parseHistory(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

func parseHistory(r io.Reader) (*history, error) {
	tsv := csv.NewReader(r)
	tsv.Comma = '\t'
	lines, err := tsv.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return &history{columns: slices.Clone(runColumns)}, nil
	}
	h := &history{columns: lines[0]}
	for _, line := range lines[1:] {
		rec := make(record)
		for i, value := range line {
			rec[h.columns[i]] = value
		}
		h.records = append(h.records, rec)
	}
	return h, nil
}

// last returns the last run that has one of these figures, or nil.
func (h *history) last(figures []string) record {
	for _, rec := range slices.Backward(h.records) {
		if slices.ContainsFunc(figures, func(name string) bool { return rec[name] != "" }) {
			return rec
		}
	}
	return nil
}

// add appends a run. Columns of its figures that are new come last.
func (h *history) add(rec record, figures []string) {
	for _, c := range figures {
		if !slices.Contains(h.columns, c) {
			h.columns = append(h.columns, c)
		}
	}
	h.records = append(h.records, rec)
}

func (h *history) write(w io.Writer) error {
	tsv := csv.NewWriter(w)
	tsv.Comma = '\t'
	lines := [][]string{h.columns}
	for _, rec := range h.records {
		var line []string
		for _, c := range h.columns {
			line = append(line, rec[c])
		}
		lines = append(lines, line)
	}
	return tsv.WriteAll(lines)
}

// save replaces the file.
func (h *history) save(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".bench-history")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone after the rename
	if err := errors.Join(f.Chmod(0o644), h.write(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// book is the history with the run that will be entered into it.
type book struct {
	past    *history
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
	return b.past.last(figures)
}

// save appends the run to the history.
func (b *book) save(path string) error {
	b.past.add(b.now, b.figures)
	return b.past.save(path)
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
