package mtatest

import (
	"context"
	"dmarcgate/internal/childtest"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// QueueEntry is one message in a queue of Postfix.
type QueueEntry struct {
	ID      string
	Queue   string // incoming, active, deferred or hold
	Sender  string // empty is the null reverse path
	Rcpts   []string
	Size    int // bytes
	Arrival time.Time

	// Hold is what Postfix logged when it put the message on hold: which
	// command, which client, and the text of the milter or table where this
	// Postfix logs one. (Before Postfix 3.10 a milter's text is lost, and the
	// line says "milter triggers HOLD action".) Empty for other messages.
	Hold string
}

// queueLine is a line of "postqueue -j" (postqueue(1)).
type queueLine struct {
	QueueName   string `json:"queue_name"`
	QueueID     string `json:"queue_id"`
	ArrivalTime int64  `json:"arrival_time"`
	MessageSize int    `json:"message_size"`
	Sender      string `json:"sender"`
	Recipients  []struct {
		Address string `json:"address"`
	} `json:"recipients"`
}

// Queue lists the messages that Postfix has.
func (p *Postfix) Queue() ([]QueueEntry, error) {
	out, err := p.Command("postqueue", "-j")
	if err != nil {
		return nil, err
	}
	var entries []QueueEntry
	d := json.NewDecoder(strings.NewReader(out))
	for {
		var q queueLine
		err := d.Decode(&q)
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, fmt.Errorf("postqueue -j: %w", err)
		}
		e := QueueEntry{ID: q.QueueID, Queue: q.QueueName, Size: q.MessageSize, Arrival: time.Unix(q.ArrivalTime, 0)}
		if q.Sender != "MAILER-DAEMON" { // showq's name for the null reverse path
			e.Sender = q.Sender
		}
		for _, r := range q.Recipients {
			e.Rcpts = append(e.Rcpts, r.Address)
		}
		entries = append(entries, e)
	}
}

// HoldQueue lists the messages on hold, and why. A message is there before
// Postfix answers its sender.
func (p *Postfix) HoldQueue() ([]QueueEntry, error) {
	all, err := p.Queue()
	if err != nil {
		return nil, err
	}
	log := p.Log()
	var held []QueueEntry
	for _, e := range all {
		if e.Queue == "hold" {
			e.Hold = holdLine(log, e.ID)
			held = append(held, e)
		}
	}
	return held, nil
}

// holdLine finds the line that cleanup logs for a message put on hold, by a
// table ("hold:") or a milter ("milter-hold:").
func holdLine(log, id string) string {
	line := regexp.MustCompile(`(?m): ` + regexp.QuoteMeta(id) + `: (?:milter-)?hold: (.*)$`)
	if m := line.FindStringSubmatch(log); m != nil {
		return m[1]
	}
	return ""
}

// Queued returns a message in a queue as Postfix would deliver it now, edits
// of milters included.
func (p *Postfix) Queued(id string) (Mail, error) {
	out, err := p.Command("postcat", "-hbq", id)
	if err != nil {
		return Mail{}, err
	}
	return Mail{Data: []byte(strings.ReplaceAll(out, "\n", "\r\n"))}, nil
}

// Release takes a message from hold and has it delivered now: postsuper only
// moves it to the deferred queue, which is looked at every five minutes.
func (p *Postfix) Release(id string) error {
	if _, err := p.Command("postsuper", "-H", id); err != nil {
		return err
	}
	_, err := p.Command("postqueue", "-f")
	return err
}

// WaitEmpty waits until no message is in any queue: all are delivered or
// bounced to the Sink.
func (p *Postfix) WaitEmpty(ctx context.Context) error {
	var entries []QueueEntry
	var last error
	err := childtest.Poll(ctx, func() bool {
		entries, last = p.Queue()
		return last == nil && len(entries) == 0
	})
	if err != nil {
		return fmt.Errorf("%d messages left in the queue: %w", len(entries), errors.Join(last, err))
	}
	return nil
}
