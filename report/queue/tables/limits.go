package tables

import (
	"crypto/rand"
	"errors"
	"time"

	"dmarcgate/report/queue"
)

// all is the rcpt_host of the sum of all hosts: no host has an empty name.
const all = ""

// reserve asks whether the limits leave room for a mail to a host, and counts the
// mail: two hosts that ask at once wait for each other.
func (s *step) reserve(host string, b queue.Begin) error {
	day := dayOf(s.now)
	for _, name := range [...]string{all, host} {
		if _, err := s.exec("INSERT INTO destination_day (rcpt_host, day, sent, bytes, failed, new_hosts) VALUES ($1, $2, 0, 0, 0, 0) ON CONFLICT DO NOTHING", name, day); err != nil {
			return err
		}
	}
	usage, err := s.usage(host, day)
	if err != nil {
		return err
	}
	if b.Allow != nil {
		if why := b.Allow(usage); why != "" {
			return &queue.LimitError{Why: why}
		}
	}
	if usage.HostIsNew {
		if err := s.must("UPDATE destination_day SET new_hosts = new_hosts + 1 WHERE rcpt_host = $1 AND day = $2", all, day); err != nil {
			return err
		}
	}
	return s.must("UPDATE destination_day SET sent = sent + 1, bytes = bytes + $1 WHERE rcpt_host IN ($2, $3) AND day = $4", max(0, b.Bytes), all, host, day)
}

// usage reads what was sent on a day.
func (s *step) usage(host string, day time.Time) (u queue.Usage, err error) {
	if err := s.one("SELECT sent - failed, new_hosts FROM destination_day WHERE rcpt_host = $1 AND day = $2 FOR UPDATE", []any{all, day}, &u.Total, &u.NewHosts); err != nil {
		return u, err
	}
	if err := s.one("SELECT sent - failed FROM destination_day WHERE rcpt_host = $1 AND day = $2 FOR UPDATE", []any{host, day}, &u.ToHost); err != nil {
		return u, err
	}
	var before int64
	if err := s.one("SELECT count(*) FROM (SELECT 1 AS one FROM destination_day WHERE rcpt_host = $1 AND sent > 0 LIMIT 1) AS d", []any{host}, &before); err != nil {
		return u, err
	}
	u.HostIsNew = before == 0
	err = s.one("SELECT count(*) FROM attempt WHERE at > $1", []any{s.now.Add(-time.Minute)}, &u.LastMinute)
	return u, err
}

// failed takes a mail that did not go out from the numbers of its day.
func (s *step) failed(host string, day time.Time) error {
	for _, name := range [...]string{all, host} {
		if _, err := s.exec("UPDATE destination_day SET failed = failed + 1 WHERE rcpt_host = $1 AND day = $2", name, day); err != nil {
			return err
		}
	}
	return nil
}

// raise raises the mark of a sender.
func (s *step) raise(sender string, day time.Time) (m queue.Mark, err error) {
	if _, err := s.exec("INSERT INTO report_sender (sender, attempts, day) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING", sender, day); err != nil {
		return m, err
	}
	if m, err = s.mark(sender, "FOR UPDATE"); err != nil {
		return m, err
	}
	m.Attempts++
	if day.After(m.Day) {
		m.Day = day
	}
	if m.Queue, err = s.queueID(); err != nil {
		return m, err
	}
	return m, s.must("UPDATE report_sender SET attempts = $1, day = $2 WHERE sender = $3", m.Attempts, m.Day, sender)
}

// mark reads the mark of a sender. lock is "FOR UPDATE" or nothing.
func (s *step) mark(sender, lock string) (m queue.Mark, err error) {
	m.Sender = sender
	err = s.one("SELECT attempts, day FROM report_sender WHERE sender = $1 "+lock, []any{sender}, &m.Attempts, stamp{&m.Day})
	return m, unknownIsNone(err)
}

// queueIDNote is the name under which the id of the queue is noted. SetNote takes no
// name with a space.
const queueIDNote = "queue id"

// queueID returns the id of the queue, which is made when it is first asked for.
func (s *step) queueID() (id string, err error) {
	ask := func() error { return s.one("SELECT text FROM report_note WHERE name = $1", []any{queueIDNote}, &id) }
	if err = ask(); !errors.Is(err, queue.ErrUnknown) {
		return id, err
	}
	if _, err = s.exec("INSERT INTO report_note (name, text) VALUES ($1, $2) ON CONFLICT DO NOTHING", queueIDNote, rand.Text()); err != nil {
		return "", err
	}
	err = ask()
	return id, err
}
