package sending

import (
	"bytes"
	"compress/gzip"
	"context"
	"time"

	"dmarcgate/report"
	"dmarcgate/report/gate"
	"dmarcgate/report/mail"
	"dmarcgate/report/queue"
)

// The times between identity checks, after a success and after a failure. A success
// counts for gate.MaxVerifiedAge.
const (
	verifyEvery = 6 * time.Hour
	verifyAgain = 15 * time.Minute
)

// verify checks the identity when that is due: at the start, after a change of the
// settings, and from time to time. It notes the outcome, which reports status shows.
func (t *turn) verify(ctx context.Context) error {
	id := t.gate.Identity
	wait := verifyAgain
	if t.verified.Identity == id && t.verified.At.Equal(t.checked) {
		wait = verifyEvery
	}
	if age := t.now.Sub(t.checked); t.checkedOf == id && age >= 0 && age < wait {
		return nil
	}
	t.checked, t.checkedOf = t.now, id
	problem := t.check(ctx, id)
	if problem == "" {
		t.verified = gate.Verified{Identity: id, At: t.now}
	}
	return queue.NoteCheck(ctx, t.store, t.now, problem)
}

// check returns what keeps receivers from accepting a report mail; "" is nothing.
func (t *turn) check(ctx context.Context, id gate.Identity) string {
	probe, err := Probe(id, t.now, t.set.Keys...)
	if err != nil {
		t.Log.Warn("reports: no mail can be made with the settings of [reports]; reports wait", "err", err)
		return err.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return t.set.Verify(ctx, id, probe)
}

// Probe returns a report mail to nobody, as it would leave: what the identity check
// evaluates.
func Probe(id gate.Identity, now time.Time, keys ...*mail.Key) ([]byte, error) {
	day := report.DayOf(now)
	var body bytes.Buffer
	_ = gzip.NewWriter(&body).Close() // to memory
	return mail.Message{
		Organization: id.Organization, From: id.Email, To: id.Email, Submitter: id.Submitter, PolicyDomain: id.Submitter,
		Begin: day.Begin, End: day.End, ID: "check", Body: body.Bytes(), Date: now,
	}.Text(keys...)
}
