package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// event is a line of "go test -json".
type event struct {
	Action, Package, Test, Key, Value, Output string
}

// runSuites runs all suites with the data in dir.
func runSuites(dir string) ([]found, error) {
	args := []string{"test", "-json", "-count=1"}
	var tests, rooms []string
	for _, s := range all {
		tests = append(tests, s.test)
		if room := "./" + s.room; !slices.Contains(rooms, room) {
			rooms = append(rooms, room)
		}
	}
	cmd := exec.Command("go", append(append(args, "-run", "^("+strings.Join(tests, "|")+")$"), rooms...)...)
	cmd.Env = append(os.Environ(), "DMARCGATE_TESTDATA="+dir)
	cmd.Stderr = os.Stderr
	out, failed := cmd.Output()
	events, err := decode(out)
	if err != nil {
		return nil, fmt.Errorf("%w, %w", failed, err)
	}
	var list []found
	for _, s := range all {
		f, err := count(s, events)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	if failed != nil {
		return nil, fmt.Errorf("go test: %w\n%s", failed, complaints(events))
	}
	return list, nil
}

func decode(out []byte) ([]event, error) {
	var events []event
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("go test -json: %w: %s", err, lines.Text())
		}
		events = append(events, e)
	}
	return events, lines.Err()
}

// complaints is what was printed by tests that did not pass, and beside tests.
func complaints(events []event) string {
	failed := make(map[string]bool)
	for _, e := range events {
		if e.Action == "fail" || e.Action == "skip" {
			failed[e.Package+" "+e.Test] = true
		}
	}
	var b strings.Builder
	for _, e := range events {
		if e.Test == "" || failed[e.Package+" "+e.Test] {
			b.WriteString(e.Output)
		}
	}
	return b.String()
}

// count makes the cases of a suite from the events. Every one must have passed.
func count(s suite, events []event) (found, error) {
	f := found{suite: s}
	cases := make(map[string]*kase)
	var order []string
	for _, e := range events {
		name, isCase := strings.CutPrefix(e.Test, s.test+"/")
		if !isCase || !strings.HasSuffix(e.Package, "/"+s.room) {
			continue
		}
		switch e.Action {
		case "run":
			cases[name] = &kase{name: name}
			order = append(order, name)
		case "attr":
			cases[name].note(e.Key, e.Value)
		case "fail", "skip":
			return f, fmt.Errorf("%s: %s: %s\n%s", s.name, name, e.Action, complaints(events))
		}
	}
	for _, name := range order {
		f.cases = append(f.cases, *cases[name])
	}
	if len(f.cases) == 0 {
		return f, fmt.Errorf("%s: no case of %s in %s was run\n%s", s.name, s.test, s.room, complaints(events))
	}
	return f, nil
}

func (c *kase) note(key, value string) {
	switch key {
	case "section":
		c.section = value
	case "deviates":
		c.deviates = value
	}
}
