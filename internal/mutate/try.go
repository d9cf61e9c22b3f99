package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

const (
	// testTimeout bounds the tests of one change, which may loop for ever.
	testTimeout = 10 * time.Second
	// runTimeout bounds the same with its compilation.
	runTimeout = 2 * time.Minute
	// memoryKiB bounds the address space: a loop may append for ever, too.
	memoryKiB = 4 << 20
)

// fate is what became of a change.
type fate uint8

const (
	broken   fate = iota // it does not compile
	killed               // a test failed
	survived             // no test failed
)

// original runs the tests on the code as it is.
func (o options) original(folder string) error {
	if out, fate := o.goTest(folder, ""); fate != survived {
		return fmt.Errorf("the tests fail without any change:\n%s", out)
	}
	return nil
}

// test tries the changes, and tells of each in turn.
func (o options) test(folder string, list []mutant, tell func(mutant, fate)) tally {
	t := tally{fates: map[string]fate{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	work := make(chan mutant)
	for range max(o.parallel, 1) {
		wg.Go(func() {
			for m := range work {
				fate := o.try(folder, m)
				mu.Lock()
				t.fates[m.key] = fate
				tell(m, fate)
				mu.Unlock()
			}
		})
	}
	for _, m := range list {
		work <- m
	}
	close(work)
	wg.Wait()
	return t
}

// try tests one change. A change that cannot be written counts as broken, as
// nothing was learnt from it.
func (o options) try(folder string, m mutant) fate {
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return broken
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(dir)
	if err != nil {
		return broken
	}
	_, fate := o.goTest(folder, overlay)
	return fate
}

// overlay writes the changed file to dir, and the file that has go test read
// it instead of the original.
func (m mutant) overlay(dir string) (string, error) {
	source, err := os.ReadFile(m.path)
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(m.path)
	if err != nil {
		return "", err
	}
	changed := filepath.Join(dir, "changed.go")
	if err := os.WriteFile(changed, m.apply(source), 0o600); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}

// goTest runs the tests of a package.
func (o options) goTest(folder, overlay string) (string, fate) {
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	script := fmt.Sprintf(`ulimit -v %d; exec go test -count=1 -vet=off -failfast -ldflags=-w -timeout %s -overlay "$1" "$2"`, memoryKiB, testTimeout)
	cmd := exec.CommandContext(ctx, "sh", "-c", script, "sh", overlay, "./"+folder)
	cmd.Dir = o.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return string(out), survived
	case bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")):
		return string(out), broken
	default:
		return string(out), killed
	}
}
