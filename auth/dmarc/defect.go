package dmarc

import "fmt"

const (
	maxDefectText = 64  // bytes of a faulty tag that a Defect quotes
	maxDefects    = 100 // defects listed of one record; it has up to MaxTags tags, and URIs
)

// Defect is one thing that is wrong, or odd, with a published record.
type Defect struct {
	Kind     DefectKind
	Severity Severity
	Pos      int    // byte offset of Text in the record, from 0
	Text     string // the faulty part, at most 64 bytes, as published: foreign bytes
}

func newDefect(kind DefectKind, pos int, text string) Defect {
	return Defect{kind, kind.severity(), pos, text[:min(len(text), maxDefectText)]}
}

// String describes the defect on one printable line.
func (d Defect) String() string {
	return fmt.Sprintf("%s at %d: %+q", d.Kind, d.Pos, d.Text)
}

// Fix says what the Domain Owner should change.
func (d Defect) Fix() string { return d.Kind.fix() }

// Severity tells whether a defect changes what a record means.
type Severity uint8

// The severities.
const (
	// Harmful: the record does not mean what its owner wrote.
	Harmful Severity = iota
	// Remark: it means the same as it would without the oddity. Other readers
	// may be less patient.
	Remark
)

// String returns defect or remark.
func (s Severity) String() string {
	if s == Remark {
		return "remark"
	}
	return "defect"
}

// DefectKind is the closed list of defects.
type DefectKind uint8

// The defects. SeveralRecords, BadVersion and OtherTXT are found by looking at
// all TXT strings of a name and so only in a Discovery, the others also by
// ParseRecord.
const (
	SeveralRecords DefectKind = iota + 1 // two DMARC records at one name count as none
	BadVersion                           // looks like a DMARC record and is none
	BadSyntax                            // not "name=value"
	DuplicateTag                         // the second of two equal tags; the first counts
	MissingP
	BadP
	BadSP
	BadNP
	BadAlignment // adkim, aspf
	BadFO
	BadURI // one destination of rua or ruf, dropped
	BadT
	BadPSD
	BadPct
	TooLong     // read up to MaxRecordBytes
	TooManyTags // read up to MaxTags
	TooManyURIs // read up to MaxURIs

	// What follows is never more than a remark.

	UpperCaseTag // a tag name in upper case; read as lower case
	UnknownTag   // ignored, as the RFCs demand; many are misspelt
	BadRF        // historic, and only one value was ever registered
	BadRI        // historic; reports are daily whatever it says
	StrayBytes   // line ends, control bytes or no-break spaces around a value; left out
	LeadingSpace // white space before v; not in the grammar, let pass
	OtherTXT     // TXT beside the record that is no DMARC record; does not count

	endOfDefects
)

// DefectKinds returns the kinds of what can be wrong with a tag or with the
// number of records, for whoever counts them. What stands around a record is
// not among them.
func DefectKinds() []DefectKind { return kindsFrom(SeveralRecords, LeadingSpace) }

// RemarkKinds returns the kinds that never change what a record means.
func RemarkKinds() []DefectKind { return kindsFrom(UpperCaseTag, endOfDefects) }

func kindsFrom(first, end DefectKind) []DefectKind {
	var kinds []DefectKind
	for k := first; k < end; k++ {
		kinds = append(kinds, k)
	}
	return kinds
}

// severity returns that of a kind; some defects are milder where they stand.
func (k DefectKind) severity() Severity {
	if k >= UpperCaseTag {
		return Remark
	}
	return Harmful
}

// String returns a short name that may be a metric label.
func (k DefectKind) String() string {
	if name := k.row().name; name != "" {
		return name
	}
	return "unknown"
}

func (k DefectKind) fix() string { return k.row().fix }

type defectRow struct{ name, fix string }

func (k DefectKind) row() defectRow {
	switch k {
	case SeveralRecords:
		return defectRow{"multiple", "publish exactly one DMARC record at this name"}
	case BadVersion:
		return defectRow{"bad_version", "start the record with v=DMARC1, in this letter case, and a semicolon"}
	case BadSyntax:
		return defectRow{"tag_syntax", "write tags as name=value, separated by semicolons"}
	case DuplicateTag:
		return defectRow{"dup_tag", "write each tag once"}
	case MissingP:
		return defectRow{"missing_p", "add p=none, p=quarantine or p=reject"}
	case BadP:
		return defectRow{"bad_p", "write p=none, p=quarantine or p=reject"}
	case BadSP:
		return defectRow{"bad_sp", "write sp=none, sp=quarantine or sp=reject; until then nothing is enforced, not even p"}
	case BadNP:
		return defectRow{"bad_np", "write np=none, np=quarantine or np=reject; until then nothing is enforced, not even p"}
	default:
		return k.lesserRow()
	}
}

// lesserRow has the defects that cost one tag its value and nothing else.
func (k DefectKind) lesserRow() defectRow {
	switch k {
	case BadAlignment:
		return defectRow{"bad_alignment", "write r for relaxed or s for strict"}
	case BadFO:
		return defectRow{"bad_fo", "write 0 or 1, and d and s at most once, separated by colons"}
	case BadURI:
		return defectRow{"bad_uri", "write mailto: before each address, separate them by commas, and escape , and ! inside"}
	case BadT:
		return defectRow{"bad_t", "write t=y or t=n"}
	case BadPSD:
		return defectRow{"bad_psd", "write psd=y, psd=n or psd=u"}
	case BadPct:
		return defectRow{"bad_pct", "write a whole number from 0 to 100, or remove the tag"}
	case TooLong:
		return defectRow{"too_long", "shorten the record"}
	case TooManyTags:
		return defectRow{"too_many_tags", "remove tags that are not registered"}
	case TooManyURIs:
		return defectRow{"too_many_uris", "name fewer destinations"}
	default:
		return k.remarkRow()
	}
}

func (k DefectKind) remarkRow() defectRow {
	switch k {
	case LeadingSpace:
		return defectRow{"leading_space", "begin the record with v=DMARC1"}
	case UpperCaseTag:
		return defectRow{"tag_case", "write tag names in lower case"}
	case UnknownTag:
		return defectRow{"unknown_tag", "remove the tag, or correct its name"}
	case BadRF:
		return defectRow{"bad_rf", "remove the tag: it is historic"}
	case BadRI:
		return defectRow{"bad_ri", "remove the tag: it is historic"}
	case StrayBytes:
		return defectRow{"stray_bytes", "remove the bytes around the value that are neither visible nor a blank; they often come from a web form or a copied file"}
	case OtherTXT:
		return defectRow{"other_txt", "keep other TXT records, and wildcards that make them, away from _dmarc names"}
	default:
		return defectRow{}
	}
}
