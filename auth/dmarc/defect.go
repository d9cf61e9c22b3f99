package dmarc

import "fmt"

const (
	maxDefectText = 64  // bytes of a faulty tag that a Defect quotes
	maxDefects    = 100 // defects listed of one record; it has up to MaxTags tags, and URIs
)

// Defect is one thing that is wrong with a published record.
type Defect struct {
	Kind DefectKind
	Pos  int    // byte offset in the record, from 0
	Text string // the faulty part, at most 64 bytes, as published: foreign bytes
}

func newDefect(kind DefectKind, pos int, text string) Defect {
	return Defect{kind, pos, text[:min(len(text), maxDefectText)]}
}

// String describes the defect on one printable line.
func (d Defect) String() string {
	return fmt.Sprintf("%s at %d: %+q", d.Kind, d.Pos, d.Text)
}

// Mend says what the Domain Owner should change.
func (d Defect) Mend() string { return d.Kind.mend() }

// DefectKind is the closed list of defects.
type DefectKind uint8

// The defects. The first two are found by looking at all TXT strings of a name
// and so only in a Discovery, the others also by ParseRecord.
const (
	SeveralRecords DefectKind = iota + 1 // two DMARC records at one name count as none
	BadVersion                           // looks like a DMARC record and is none
	BadSyntax                            // not "name=value"
	UpperCaseTag                         // a tag name in upper case; read as lower case
	DuplicateTag                         // the second of two equal tags; the first counts
	UnknownTag                           // ignored, as the RFCs demand; most are misspelt
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
	BadRF
	BadRI
	TooLong     // read up to MaxRecordBytes
	TooManyTags // read up to MaxTags
	TooManyURIs // read up to MaxURIs

	endOfDefects
)

// DefectKinds returns every kind, for whoever counts them.
func DefectKinds() []DefectKind {
	var kinds []DefectKind
	for k := SeveralRecords; k < endOfDefects; k++ {
		kinds = append(kinds, k)
	}
	return kinds
}

// String returns a short name that may be a metric label.
func (k DefectKind) String() string {
	if name := k.row().name; name != "" {
		return name
	}
	return "unknown"
}

func (k DefectKind) mend() string { return k.row().mend }

type defectRow struct{ name, mend string }

func (k DefectKind) row() defectRow {
	switch k {
	case SeveralRecords:
		return defectRow{"multiple", "publish exactly one DMARC record at this name"}
	case BadVersion:
		return defectRow{"bad_version", "start the record with v=DMARC1, in this letter case, and a semicolon"}
	case BadSyntax:
		return defectRow{"tag_syntax", "write tags as name=value, separated by semicolons"}
	case UpperCaseTag:
		return defectRow{"tag_case", "write tag names in lower case"}
	case DuplicateTag:
		return defectRow{"dup_tag", "write each tag once"}
	case UnknownTag:
		return defectRow{"unknown_tag", "remove the tag, or correct its name"}
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
	case BadRF:
		return defectRow{"bad_rf", "write rf=afrf, or remove the tag"}
	case BadRI:
		return defectRow{"bad_ri", "write a number of seconds, or remove the tag"}
	case TooLong:
		return defectRow{"too_long", "shorten the record"}
	case TooManyTags:
		return defectRow{"too_many_tags", "remove tags that are not registered"}
	case TooManyURIs:
		return defectRow{"too_many_uris", "name fewer destinations"}
	default:
		return defectRow{}
	}
}
