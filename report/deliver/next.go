package deliver

import (
	"slices"
	"time"
)

// The times of attempts.
const (
	firstWait = 5 * time.Minute // before the second attempt; doubled for each further one
	maxWait   = 6 * time.Hour   // between two attempts, at most
	jitter    = 0.2             // share by which a wait is shorter or longer

	// GiveUp is how long after the first attempt a delivery expires.
	GiveUp = 72 * time.Hour
)

// Step is what follows from an outcome. The zero Step ends the delivery: it is
// sent or refused, as the class says, and expired when the class is Retry.
type Step struct {
	Again  bool      // the delivery is still due
	At     time.Time // of the next attempt
	Strike bool      // counts against the recipient: suppression is near
	Pause  bool      // stop all sending until a person has looked
}

// History is what was before an outcome.
type History struct {
	Attempts int       // made, this one included
	First    time.Time // when the first was made, or when the last pause ended
}

// Next decides what follows from an outcome. draw is a random number from 0 up
// to 1, which spreads the attempts of many deliveries.
//
// A refusal counts against the recipient unless the mail was too large, and so
// does a delivery that expires while the recipient is what fails. A smarthost
// that does not answer is no strike.
func Next(o Outcome, h History, now time.Time, draw float64) Step {
	switch o.Class {
	case Sent:
		return Step{}
	case Refused:
		return Step{Strike: !o.TooLarge()}
	case OurFault:
		return Step{Again: true, At: now.Add(wait(h.Attempts, draw)), Pause: true}
	}
	last := h.First.Add(GiveUp)
	if !now.Before(last) {
		return Step{Strike: o.aboutRecipient()}
	}
	at := now.Add(wait(h.Attempts, draw))
	if at.After(last) {
		at = last
	}
	return Step{Again: true, At: at}
}

// aboutRecipient reports whether a reply was about the recipient or the mail.
func (o Outcome) aboutRecipient() bool {
	return o.Code != 0 && o.Code != 421 && o.recipient()
}

// wait is the time between an attempt and the one after it.
func wait(attempts int, draw float64) time.Duration {
	d := firstWait
	for ; attempts > 1 && d < maxWait; attempts-- {
		d *= 2
	}
	d = min(d, maxWait)
	return d + time.Duration(jitter*(2*draw-1)*float64(d))
}

// StreakLength is how many refusals in a row, of as many hosts, are a sign that
// this host is refused and not its recipients: Postfix says only at RCPT what it
// has against a client, its name or its sender (smtpd_delay_reject).
const StreakLength = 5

// Streak counts refusals in a row. The zero value has none.
type Streak struct{ hosts []string }

// Add notes the outcome of an attempt to reach a recipient's host. When all
// sending must pause it returns the hosts of the row, whose strikes do not count.
// A mail that is sent ends the row.
func (s *Streak) Add(host string, o Outcome) (blameless []string) {
	switch {
	case o.Class == Sent:
		s.hosts = nil
	case o.Class == Refused && !o.TooLarge() && !slices.Contains(s.hosts, host):
		s.hosts = append(s.hosts, host)
	}
	if len(s.hosts) < StreakLength {
		return nil
	}
	return s.hosts
}
