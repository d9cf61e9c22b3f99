package main

import (
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
)

func TestAHistoryGrowsByLinesAndColumns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.tsv")
	runs := []struct {
		rec     record
		figures []string
	}{
		{record{"date": "d1", "go": "go1", "ack.cpu_ms": "0.5"}, []string{"ack.cpu_ms"}},
		{record{"date": "d2", "go": "go1", "ack.cpu_ms": "0.4", "off.cpu_ms": "0.3"}, []string{"ack.cpu_ms", "off.cpu_ms"}},
	}
	for i, run := range runs {
		h, err := readHistory(path)
		if err != nil || len(h.records) != i {
			t.Fatalf("readHistory = %+v, %v; want %d runs", h, err, i)
		}
		h.add(run.rec, run.figures)
		if err := h.save(path); err != nil {
			t.Fatal(err)
		}
	}
	h, err := readHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := append(append([]string{}, runColumns...), "ack.cpu_ms", "off.cpu_ms"); !reflect.DeepEqual(h.columns, want) {
		t.Errorf("columns = %q; want %q", h.columns, want)
	}
	if got := h.last([]string{"off.cpu_ms"}); got["date"] != "d2" || got["off.cpu_ms"] != "0.3" {
		t.Errorf("last run = %v", got)
	}
	if got := h.records[0]; got["ack.cpu_ms"] != "0.5" || got["off.cpu_ms"] != "" {
		t.Errorf("first run = %v; want it as it was", got)
	}
}

func TestABrokenHistoryIsAnError(t *testing.T) {
	if h, err := parseHistory(strings.NewReader("a\tb\n1\n")); err == nil {
		t.Errorf("parseHistory = %+v; want an error", h)
	}
}

func TestTheRevisionIsTheOneInTheBinary(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for modified, want := range map[string]string{"false": "0123456789ab", "true": "0123456789ab+"} {
		info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: commit}, {Key: "vcs.modified", Value: modified}}}
		if got := revisionOf(info); got != want {
			t.Errorf("revisionOf(%s, modified %s) = %q; want %q", commit, modified, got, want)
		}
	}
	if got, _ := builtFrom(filepath.Join(t.TempDir(), "none")); got != "unknown" {
		t.Errorf("builtFrom a file that is not there = %q", got)
	}
}

func TestTheComparisonShowsWhatBothRunsHave(t *testing.T) {
	rows := []*row{{key: "ack", title: "ack"}, {key: "off", title: "off"}}
	old := record{"date": "d1", "revision": "abc", "go": "go1", "cores": "2", "load": "0.1", "messages": "10", "connections": "1", "ack.ratio": "2", "ack.cpu_ms": "0"}
	now := record{"ack.ratio": "1.5", "ack.cpu_ms": "0.4", "off.ratio": "1"}
	var b strings.Builder
	compare(&b, rows, now, old)
	want := "\nagainst d1, revision abc, go1, 2 cores, load 0.1, 10 messages, 1 connections:\n  ack: ratio 2 → 1.5 (-25 %)\n"
	if b.String() != want {
		t.Errorf("compare wrote %q; want %q", b.String(), want)
	}
}
