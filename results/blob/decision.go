package blob

import "dmarcgate/policy"

func (e *Encoder) author(a *policy.Author) {
	e.text(authorDomain, a.Domain)
	e.text(authorOrg, a.Org)
	e.text(authorPolicyDomain, a.PolicyDomain)
	e.text(authorSource, a.Source)
	e.text(authorRecord, a.Record)
	e.list(authorDefects, a.Defects)
	e.number(authorDraw, uint64(a.Draw))
	e.list(authorDiffers, a.Differs)
	e.list(authorSigners, a.Signers)
	v := &a.Verdict
	e.number(authorStatus, uint64(v.Status))
	e.number(authorPolicy, uint64(v.Policy))
	e.flag(authorTesting, v.Testing)
	e.number(authorPct, uint64(v.Pct))
	e.flag(authorAlignedSPF, v.AlignedSPF)
	e.flag(authorAlignedDKIM, v.AlignedDKIM)
	e.number(authorCause, uint64(v.Cause))
	e.text(authorReason, v.Reason)
	e.flag(authorAsked, a.Standing.Asked)
	e.text(authorNoMail, string(a.Standing.NoMail))
	e.flag(authorMissing, a.Standing.Missing)
	e.number(authorMessages, uint64(a.History.Messages))
	e.number(authorDKIMPass, uint64(a.History.DKIMPass))
}

func (m *message) author(a *policy.Author) {
	for m.next() {
		switch m.field {
		case authorDomain:
			a.Domain = m.text()
		case authorOrg:
			a.Org = m.text()
		case authorPolicyDomain:
			a.PolicyDomain = m.text()
		case authorSource:
			a.Source = m.text()
		case authorRecord:
			a.Record = m.text()
		case authorDefects:
			a.Defects = append(a.Defects, m.text())
		case authorDraw:
			small(m, &a.Draw)
		case authorDiffers:
			a.Differs = append(a.Differs, m.text())
		case authorSigners:
			a.Signers = append(a.Signers, m.text())
		default:
			m.verdict(a)
		}
	}
}

// verdict reads what was concluded for an author domain.
func (m *message) verdict(a *policy.Author) {
	v := &a.Verdict
	switch m.field {
	case authorStatus:
		small(m, &v.Status)
	case authorPolicy:
		small(m, &v.Policy)
	case authorTesting:
		v.Testing = m.flag()
	case authorPct:
		small(m, &v.Pct)
	case authorAlignedSPF:
		v.AlignedSPF = m.flag()
	case authorAlignedDKIM:
		v.AlignedDKIM = m.flag()
	case authorCause:
		small(m, &v.Cause)
	case authorReason:
		v.Reason = m.text()
	case authorAsked:
		a.Standing.Asked = m.flag()
	case authorNoMail:
		text(m, &a.Standing.NoMail)
	case authorMissing:
		a.Standing.Missing = m.flag()
	case authorMessages:
		a.History.Messages = int(m.number())
	case authorDKIMPass:
		a.History.DKIMPass = int(m.number())
	}
}

func (e *Encoder) decision(d *policy.Decision) {
	e.number(decisionAction, uint64(d.Action))
	e.number(decisionDisposition, uint64(d.Disposition))
	e.number(decisionRequested, uint64(d.Requested))
	e.text(decisionOverride, string(d.Override))
	e.text(decisionEvidence, string(d.Evidence))
	e.text(decisionReason, d.Reason)
	e.text(decisionAuthor, d.Author)
	for _, p := range d.Effective {
		in := e.open(decisionEffective)
		e.number(policyApplied, uint64(p.Applied))
		e.text(policyOverride, string(p.Override))
		e.close(in)
	}
	e.text(decisionRule, d.Rule)
	e.list(decisionAlso, d.Also)
	for _, s := range d.Shadow {
		in := e.open(decisionShadow)
		e.text(shadowRule, s.Rule)
		e.number(shadowAction, uint64(s.Action))
		e.number(shadowDisposition, uint64(s.Disposition))
		e.close(in)
	}
	e.text(decisionComment, d.ReportComment)
	e.text(decisionUnreported, d.Unreported)
}

func (m *message) decision(d *policy.Decision) {
	for m.next() {
		switch m.field {
		case decisionAction:
			small(m, &d.Action)
		case decisionDisposition:
			small(m, &d.Disposition)
		case decisionRequested:
			small(m, &d.Requested)
		case decisionOverride:
			text(m, &d.Override)
		case decisionEvidence:
			text(m, &d.Evidence)
		case decisionReason:
			d.Reason = m.text()
		case decisionAuthor:
			d.Author = m.text()
		case decisionEffective:
			in := m.open()
			d.Effective = append(d.Effective, policy.Policy{})
			in.policy(&d.Effective[len(d.Effective)-1])
		case decisionRule:
			d.Rule = m.text()
		case decisionAlso:
			d.Also = append(d.Also, m.text())
		case decisionShadow:
			in := m.open()
			d.Shadow = append(d.Shadow, policy.ShadowDecision{})
			in.shadow(&d.Shadow[len(d.Shadow)-1])
		case decisionComment:
			d.ReportComment = m.text()
		case decisionUnreported:
			d.Unreported = m.text()
		}
	}
}

func (m *message) policy(p *policy.Policy) {
	for m.next() {
		switch m.field {
		case policyApplied:
			small(m, &p.Applied)
		case policyOverride:
			text(m, &p.Override)
		}
	}
}

func (m *message) shadow(s *policy.ShadowDecision) {
	for m.next() {
		switch m.field {
		case shadowRule:
			s.Rule = m.text()
		case shadowAction:
			small(m, &s.Action)
		case shadowDisposition:
			small(m, &s.Disposition)
		}
	}
}
