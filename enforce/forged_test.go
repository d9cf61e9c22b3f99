package enforce

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"dmarcgate/message"
	"dmarcgate/milter"
)

func overflowing(r *rig, env *milter.Envelope, header ...string) milter.Overflow {
	env.HeaderTruncated = true
	var raw [][]byte
	for _, f := range header {
		raw = append(raw, []byte(f+"\r\n"))
	}
	env.Overflow = r.gate.Overflow(env, raw)
	return env.Overflow
}

// A header of ten million fields costs no more than one at the bounds.
func TestOverflowIsBounded(t *testing.T) {
	r := newRig(t, bankZone)
	o := overflowing(r, &milter.Envelope{}).(*overflow)
	for i := range 20_000 {
		o.Field([]byte("Authentication-Results: mx.receiver.example; x=y\r\n"))
		o.Field(fmt.Appendf(nil, "X-%d: y\r\n", i))
	}
	o.Field([]byte("X-Tag: y\r\n"))
	if !o.forged.tooMany || o.forged.count != 20_001 {
		t.Errorf("%d forged fields, too many: %v; want 20001, true", o.forged.count, o.forged.tooMany)
	}
	if places := o.forged.names[0].nth; places != nil {
		t.Errorf("%d places are kept; want none", len(places))
	}
	if o.dropped.set != nil || !o.dropped.has("from") {
		t.Errorf("%d names are kept; want none, and every name counts as dropped", len(o.dropped.set))
	}
}

func TestOverflowNamesDroppedFields(t *testing.T) {
	var n names
	n.add("Subject")
	n.add("SUBJECT")
	size := n.size
	n.add("X-A")
	if !n.has("subject") || !n.has("x-a") || n.has("from") || size != len("subject")+nameCost {
		t.Errorf("names = %+v; want subject and x-a", n)
	}
	n.add(strings.Repeat("x", maxDropped))
	if !n.has("from") {
		t.Error("a set that is full lacks a name")
	}
}

func TestForgedFieldsAreCountedWhenRemoved(t *testing.T) {
	r := newRig(t, bankZone)
	r.set.RemoveBIMI = true
	r.use()
	env := milter.Envelope{Client: good, MailFrom: "a@bank.example"}
	r.send(env, "X-Tag: y", "BIMI-Location: y", "bimi-indicator: y", "Authentication-Results: mx.receiver.example; x=y", "From: a@bank.example")
	r.send(milter.Envelope{Client: evil, MailFrom: "a@bank.example"}, "X-Tag: y", "From: a@bank.example") // is refused, so nothing is removed
	want := `# HELP dmarcgate_forged_fields_removed_total Header fields from outside that only this host may write.
# TYPE dmarcgate_forged_fields_removed_total counter
dmarcgate_forged_fields_removed_total{field="authentication_results",listener="mta"} 1
dmarcgate_forged_fields_removed_total{field="bimi",listener="mta"} 2
dmarcgate_forged_fields_removed_total{field="tag",listener="mta"} 1
`
	if err := testutil.GatherAndCompare(r.reg, strings.NewReader(want), "dmarcgate_forged_fields_removed_total"); err != nil {
		t.Error(err)
	}
	if log := r.log.String(); !strings.Contains(log, "forged=4") || !strings.Contains(log, "forged=1") {
		t.Errorf("log = %s; want forged=4 and forged=1", log)
	}
	if f := r.store.rows[0].Facts; f.Forged != 4 || f.TooManyForged {
		t.Errorf("row has %d forged fields, too many: %v; want 4, false", f.Forged, f.TooManyForged)
	}
}

// One message has one snapshot: a reload between the limits and the end of the
// header changes nothing.
func TestOverflowAndStartShareASnapshot(t *testing.T) {
	r := newRig(t, bankZone)
	env := milter.Envelope{Client: good, MailFrom: "a@bank.example", QueueID: "4XyZ1"}
	overflowing(r, &env, "From: a@bank.example").Field([]byte("X-Tag: y\r\n"))
	before := r.set.TagField
	r.set.TagField = "X-Other"
	r.use()
	m := r.gate.Start(t.Context(), &env, [][]byte{[]byte("From: a@bank.example\r\n")}).(*mail)
	if m.set.TagField != before || m.forged.count != 1 {
		t.Errorf("the message has tag %s and %d forged fields; want %s, 1", m.set.TagField, m.forged.count, before)
	}
	m.Finish()
}

func TestRemovalsStartWithLastField(t *testing.T) {
	s := Settings{AuthservIDs: []string{"mx.receiver.example"}, TagField: "X-Tag", RemoveBIMI: true}
	x := s.forgeries()
	for _, f := range []string{"X-Tag: 1", "BIMI-Location: 1", "X-Tag: 2", "bimi-location: 2", "X-Tag: 3"} {
		x.see(message.NewField([]byte(f + "\r\n")))
	}
	if got, want := fmt.Sprint(x.removals()), "[delete X-Tag 3 delete X-Tag 2 delete X-Tag 1 delete BIMI-Location 2 delete BIMI-Location 1]"; got != want {
		t.Errorf("removals() = %s; want %s", got, want)
	}
}
