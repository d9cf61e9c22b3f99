package message

import "bytes"

// Split takes a message apart as it stands in a file, with lines that end in
// LF or CRLF: the raw fields of its header, which end in CRLF, and the body
// in CRLF. A line that can be neither a field nor the rest of one ends the
// header, as MTAs do.
func Split(text []byte) (header [][]byte, body []byte) {
	text = crlf(text)
	for len(text) > 0 {
		line, rest := cutLine(text)
		switch {
		case len(line) == 2: // the empty line between header and body
			return header, rest
		case (line[0] == ' ' || line[0] == '\t') && len(header) > 0:
			last := &header[len(header)-1]
			*last = append(*last, line...)
		case bytes.IndexByte(line, ':') <= 0 || line[0] == ' ' || line[0] == '\t':
			return header, text
		default:
			header = append(header, bytes.Clone(line))
		}
		text = rest
	}
	return header, nil
}

// cutLine cuts after the first CRLF.
func cutLine(text []byte) (line, rest []byte) {
	i := bytes.Index(text, []byte("\r\n"))
	return text[:i+2], text[i+2:]
}

// crlf ends every line in CRLF, the last one too.
func crlf(text []byte) []byte {
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
}
