package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

func TestHistoryKeepsEachRunAndFindsTheLastWithAFigure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.tsv")
	runs := []record{
		{"date": "d1", "go": "go1", "ack.cpu_ms": "0.5", "off.cpu_ms": "0.3"},
		{"date": "d2", "go": "go1", "ack.cpu_ms": "0.4"},
	}
	for i, run := range runs {
		past, err := readHistory(path)
		if err != nil || len(past) != i {
			t.Fatalf("readHistory = %+v, %v; want %d runs", past, err, i)
		}
		b := book{past: past, now: run}
		for name := range run {
			if strings.Contains(name, ".") {
				b.figures = append(b.figures, name)
			}
		}
		if err := b.save(path); err != nil {
			t.Fatal(err)
		}
	}
	past, err := readHistory(path)
	if err != nil || len(past) != 2 || past[0]["ack.cpu_ms"] != "0.5" || past[1]["ack.cpu_ms"] != "0.4" || past[1]["off.cpu_ms"] != "" {
		t.Fatalf("readHistory = %v, %v; want both runs as they were", past, err)
	}
	b := book{past: past, now: record{}}
	for key, want := range map[string]string{"ack": "d2", "off": "d1", "disk": ""} {
		if got := b.enter([]*row{{key: key, samples: samplesOf(cpu, 1)}}); got["date"] != want {
			t.Errorf("enter(%s) = the run of %q; want %q", key, got["date"], want)
		}
	}
}

func TestABrokenHistoryIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.tsv")
	if err := os.WriteFile(path, []byte("a\tb\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, err := readHistory(path); err == nil {
		t.Errorf("readHistory = %+v; want an error", h)
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
