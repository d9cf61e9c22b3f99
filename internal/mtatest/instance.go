package mtatest

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
)

// instance is what Postfix and Sendmail have in common.
type instance struct {
	t       testing.TB
	dir     string
	sink    *Sink
	process *server // the MTA
	once    sync.Once
}

func (i *instance) logFile() string { return filepath.Join(i.dir, "mail.log") }

// Mails returns what the MTA has delivered so far, oldest first, bounces
// included.
func (i *instance) Mails() []Mail { return i.sink.Mails() }

// Delivered waits until the MTA has delivered a message that matches, and
// returns the first one; one that came before the call counts.
func (i *instance) Delivered(ctx context.Context, match func(Mail) bool) (Mail, error) {
	return i.sink.Delivered(ctx, match)
}

// Log returns what the MTA has logged so far.
func (i *instance) Log() string { return readLog(i.logFile()) }

// WaitLog waits until a line of the log holds all of the texts, and returns
// the first that does. An MTA logs after it has answered, so a line may come
// a little later than the reply.
func (i *instance) WaitLog(ctx context.Context, texts ...string) (string, error) {
	return waitLog(ctx, i.logFile(), texts)
}

// Processes lists the running processes of this MTA by process id.
func (i *instance) Processes() []int { return i.process.processes() }
