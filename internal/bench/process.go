package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"dmarcgate/internal/childtest"
)

const (
	startTimeout = 15 * time.Second
	// stopTimeout is more than the daemon needs: nobody is connected any more.
	stopTimeout = 15 * time.Second
	readyEvery  = 10 * time.Millisecond
)

// process is a child with a milter socket.
type process struct {
	cmd     *exec.Cmd
	address string // of its milter socket
	log     string // the file with its standard error
	done    chan struct{}
}

// startProcess starts a program with its log in dir, and waits until ready has
// no error.
func startProcess(ctx context.Context, dir string, ready func() error, program string, args ...string) (*process, error) {
	p := &process{log: filepath.Join(dir, "log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := childtest.Start(p.cmd, func(error) { close(p.done) }); err != nil { // how it ended is in its log
		return nil, err
	}
	if err := p.await(ctx, ready); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w\n%s", filepath.Base(program), err, p.lastLines()), p.stop())
	}
	return p, nil
}

// await asks ready until it has no error.
func (p *process) await(ctx context.Context, ready func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ticker := time.NewTicker(readyEvery)
	defer ticker.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return errors.New("it ended")
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-ticker.C:
		}
	}
}

// logTail is how much of a log goes into an error.
const logTail = 2000

func (p *process) lastLines() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	if len(text) > logTail {
		_, text, _ = bytes.Cut(text[len(text)-logTail:], []byte("\n"))
	}
	return strings.TrimSpace(string(text))
}

// stop ends the process, kindly if it can be.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be over
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	err := p.cmd.Process.Kill()
	<-p.done
	return errors.Join(fmt.Errorf("process %d did not stop within %v", p.cmd.Process.Pid, stopTimeout), err)
}

func (p *process) cpu() (time.Duration, error) { return readClock(processClock(p.cmd.Process.Pid)) }
func (p *process) peak() (float64, error)      { return peakMemory(p.cmd.Process.Pid) }
func (p *process) forgetPeak() error           { return forgetPeak(p.cmd.Process.Pid) }
