package blob

import (
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// The fields of a row. A new fact is a field of package policy, a line here and
// one of docs/store.md, for its column of CSV. Numbers are in files: none is ever
// given to another field, also when its own is gone, and the last of each table is
// not used again either.

func factsOf(r *results.Row) *policy.Facts { return &r.Facts }

func decisionOf(r *results.Row) *policy.Decision { return &r.Decision }

var rowFields = fieldsOf(
	beside("state", func(r *results.Row) string { return r.State.String() }).col(2),
	part(1, "facts", factsFields, factsOf),
	part(2, "decision", decisionFields, decisionOf),
	field[results.Row]{number: settingsNumber, key: "settings", write: writeSettings, read: readSettings, visit: visitSettings},
	field[results.Row]{number: settingsText, read: func(m *message, r *results.Row) { r.Settings = m.text() }}, // of another form
	text(5, "shape", id, func(r *results.Row) *string { return &r.Shape }),
)

type facts = policy.Facts

var factsFields = fieldsOf(
	field[facts]{number: 1, key: "time", write: writeNanos, read: readNanos, cell: timeCell}.col(1),
	text(2, "listener", id, func(f *facts) *string { return &f.Listener }).col(4),
	field[facts]{number: 3, key: "client", write: writeZone, read: readZone, visit: visitZone, cell: clientCell}.col(5),
	text(4, "client_name", name, func(f *facts) *string { return &f.ClientName }).col(6),
	text(5, "helo", name, func(f *facts) *string { return &f.Helo }).col(7),
	field[facts]{number: 6, key: "relay", write: writeRelay, read: readRelay, visit: visitRelay},
	flag(7, "null_path", func(f *facts) *bool { return &f.NullPath }),
	text(8, "mail_from", name, func(f *facts) *string { return &f.MailFrom }).col(8),
	texts(9, "rcpt", id, func(f *facts) *[]string { return &f.Recipients }).colAs(9, "recipients"),
	text(10, "skip", word, func(f *facts) *policy.Skip { return &f.Skip }).col(10),
	text(11, "from_field", word, func(f *facts) *policy.From { return &f.FromField }).col(11),
	flag(12, "header_truncated", func(f *facts) *bool { return &f.HeaderTruncated }),
	whole(13, "authors", authorFields, func(f *facts) *[]policy.Author { return &f.Authors }),
	part(14, "spf", spfFields, func(f *facts) *policy.SPF { return &f.SPF }),
	part(15, "spf_helo", spfFields, func(f *facts) *policy.SPF { return &f.HELO }),
	parts(16, "dkim", dkimFields, func(f *facts) *[]policy.DKIM { return &f.DKIM }),
	part(17, "arc", arcFields, func(f *facts) *policy.ARC { return &f.ARC }),
	count(18, "deferred_ns", func(f *facts) *time.Duration { return &f.Deferred }),
	flag(19, "stale", func(f *facts) *bool { return &f.Stale }).col(28),
	field[facts]{number: 20, key: "version", write: writeMarks, read: readMarks}, // with list_headers, auto_submitted and tls
	text(21, "list_id", name, func(f *facts) *string { return &f.ListID }),
	count(22, "seed", func(f *facts) *uint64 { return &f.Seed }),
	small(23, "missing", func(f *facts) *policy.MissingFacts { return &f.Missing }),
	texts(36, "pressed", word, func(f *facts) *[]string { return &f.Pressed }),
	count(30, "forged", func(f *facts) *int { return &f.Forged }).col(36),
	flag(31, "bimi_eligible", func(f *facts) *bool { return &f.BIMIEligible }),
	flag(32, "too_many_forged", func(f *facts) *bool { return &f.TooManyForged }),
	texts(40, "trimmed", word, func(f *facts) *[]string { return &f.Trimmed }).col(33),
	text(33, "unknown_client", word, func(f *facts) *policy.UnknownClient { return &f.UnknownClient }).col(32),
	flag(45, "earlier_spf_fail", func(f *facts) *bool { return &f.EarlierSPFFail }).col(35),
	text(46, "report_traffic", word, func(f *facts) *policy.ReportTraffic { return &f.ReportTraffic }).col(37),

	field[facts]{key: "qid", visit: visitQueueID, cell: func(f *facts) string { return f.QueueID }}.col(3),
	field[facts]{key: "list_headers"},
	field[facts]{key: "auto_submitted"},
	field[facts]{key: "tls"},
	beside("", func(f *facts) string { return f.SPF.Result }).colAs(24, "spf"),
	beside("", func(f *facts) string { return f.SPF.Domain }).colAs(25, "spf_domain"),
	beside("", dkimCell).colAs(26, "dkim"),
	beside("", func(f *facts) string { return f.ARC.Result }).colAs(27, "arc"),
)

var spfFields = fieldsOf(
	text(1, "result", word, func(s *policy.SPF) *string { return &s.Result }),
	text(2, "domain", name, func(s *policy.SPF) *string { return &s.Domain }),
	text(3, "term", term, func(s *policy.SPF) *string { return &s.Term }),
	text(4, "why", reason, func(s *policy.SPF) *string { return &s.Why }),
)

type signature = policy.DKIM

var dkimFields = fieldsOf(
	text(1, "result", word, func(s *signature) *string { return &s.Result }),
	text(2, "d", name, func(s *signature) *string { return &s.Domain }),
	text(3, "s", name, func(s *signature) *string { return &s.Selector }),
	text(4, "a", word, func(s *signature) *string { return &s.Algorithm }),
	text(5, "b", word, func(s *signature) *string { return &s.B }),
	text(6, "c", word, func(s *signature) *string { return &s.Canon }),
	count(7, "bits", func(s *signature) *int { return &s.KeyBits }),
	flag(8, "testing", func(s *signature) *bool { return &s.Testing }),
	text(9, "why", reason, func(s *signature) *string { return &s.Why }),
	flag(10, "header_ok", func(s *signature) *bool { return &s.HeaderOK }),
	flag(13, "cut_by_mta", func(s *signature) *bool { return &s.CutByMTA }),
	field[signature]{number: 11, key: "t", write: writeSignedAt, read: readSignedAt}, // with its fraction of a second
	field[signature]{number: 12, read: readSignedAtNanos},
)

var arcFields = fieldsOf(
	text(1, "result", word, func(a *policy.ARC) *string { return &a.Result }),
	text(2, "why", reason, func(a *policy.ARC) *string { return &a.Why }),
	count(3, "oldest_pass", func(a *policy.ARC) *int { return &a.OldestPass }),
	parts(4, "sealers", sealerFields, func(a *policy.ARC) *[]policy.Sealer { return &a.Sealers }),
)

var sealerFields = fieldsOf(
	text(1, "d", name, func(s *policy.Sealer) *string { return &s.Domain }),
	text(2, "s", name, func(s *policy.Sealer) *string { return &s.Selector }),
	parts(3, "recorded", recordedFields, func(s *policy.Sealer) *[]policy.Recorded { return &s.Recorded }),
)

var recordedFields = fieldsOf(
	text(1, "method", word, func(r *policy.Recorded) *string { return &r.Method }),
	text(2, "result", word, func(r *policy.Recorded) *string { return &r.Result }),
	text(3, "domain", name, func(r *policy.Recorded) *string { return &r.Domain }),
)

type author = policy.Author

// authorFields are those of an author domain. The keys below verdict, sends_mail and
// history are of what JSON has there, and blobs have not.
var authorFields = fieldsOf(
	text(1, "domain", id, func(a *author) *string { return &a.Domain }).colAs(12, "author"),
	text(2, "org", id, func(a *author) *string { return &a.Org }).col(13),
	text(3, "policy_domain", id, func(a *author) *string { return &a.PolicyDomain }).col(14),
	text(4, "source", word, func(a *author) *string { return &a.Source }),
	text(5, "record", record, func(a *author) *string { return &a.Record }),
	texts(6, "defects", word, func(a *author) *[]string { return &a.Defects }),
	small(7, "draw", func(a *author) *uint8 { return &a.Draw }),
	texts(8, "differs", word, func(a *author) *[]string { return &a.Differs }),
	texts(9, "signers", id, func(a *author) *[]string { return &a.Signers }),
	small(10, "verdict.status", func(a *author) *dmarc.Status { return &a.Verdict.Status }).colAs(15, "result"),
	small(11, "verdict.policy", func(a *author) *dmarc.Policy { return &a.Verdict.Policy }),
	flag(12, "verdict.testing", func(a *author) *bool { return &a.Verdict.Testing }),
	small(13, "verdict.pct", func(a *author) *uint8 { return &a.Verdict.Pct }).colAs(17, "pct"),
	flag(14, "verdict.aligned_spf", func(a *author) *bool { return &a.Verdict.AlignedSPF }),
	flag(15, "verdict.aligned_dkim", func(a *author) *bool { return &a.Verdict.AlignedDKIM }),
	small(16, "verdict.cause", func(a *author) *dmarc.Cause { return &a.Verdict.Cause }),
	text(17, "verdict.why", reason, func(a *author) *string { return &a.Verdict.Why }),
	flag(18, "sends_mail.queried", func(a *author) *bool { return &a.SendsMail.Queried }),
	text(19, "sends_mail.no_mail", word, func(a *author) *policy.NoMail { return &a.SendsMail.NoMail }),
	flag(20, "sends_mail.missing", func(a *author) *bool { return &a.SendsMail.Missing }),
	count(21, "history.messages", func(a *author) *int { return &a.History.Messages }),
	count(22, "history.dkim_pass", func(a *author) *int { return &a.History.DKIMPass }),

	beside("pass_by", (*author).PassBy).col(34),
	beside("", (*author).Published).colAs(16, "policy"),
)

type decision = policy.Decision

var decisionFields = fieldsOf(
	small(1, "action", func(d *decision) *policy.Action { return &d.Action }).col(20),
	small(2, "disposition", func(d *decision) *policy.Disposition { return &d.Disposition }).col(19),
	small(3, "requested", func(d *decision) *dmarc.Policy { return &d.Requested }).col(18),
	text(4, "reason", word, func(d *decision) *policy.Reason { return &d.Reason }).col(21),
	text(5, "evidence", word, func(d *decision) *policy.Evidence { return &d.Evidence }),
	text(6, "why", says, func(d *decision) *string { return &d.Why }).col(23),
	text(7, "author", id, func(d *decision) *string { return &d.Author }),
	whole(8, "effective", policyFields, func(d *decision) *[]policy.Policy { return &d.Effective }),
	text(9, "rule", id, func(d *decision) *string { return &d.Rule }).col(22),
	texts(10, "also", id, func(d *decision) *[]string { return &d.Also }).col(29),
	parts(11, "shadow", shadowFields, func(d *decision) *[]policy.ShadowDecision { return &d.Shadow }),
	text(12, "report_comment", says, func(d *decision) *string { return &d.ReportComment }),
	text(13, "unreported", id, func(d *decision) *string { return &d.Unreported }).col(31),

	beside("", shadowCell).colAs(30, "shadow"),
)

var policyFields = fieldsOf(
	small(1, "applied", func(p *policy.Policy) *dmarc.Policy { return &p.Applied }),
	text(2, "reason", word, func(p *policy.Policy) *policy.Reason { return &p.Reason }),
)

var shadowFields = fieldsOf(
	text(1, "rule", id, func(s *policy.ShadowDecision) *string { return &s.Rule }),
	small(2, "action", func(s *policy.ShadowDecision) *policy.Action { return &s.Action }),
	small(3, "disposition", func(s *policy.ShadowDecision) *policy.Disposition { return &s.Disposition }),
)
