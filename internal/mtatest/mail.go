package mtatest

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// Client is the host that a session pretends to be. The zero value is
// 127.0.0.1 itself.
type Client struct {
	Addr string // IPv4 or IPv6 address; empty: no XCLIENT at all
	Name string // host name; empty: the address has none
	Helo string // the name it says in EHLO; empty: Name, or "[Addr]"
}

func (c Client) helo() string {
	switch {
	case c.Helo != "":
		return c.Helo
	case c.Name != "":
		return c.Name
	case strings.Contains(c.Addr, ":"):
		return "[IPv6:" + c.Addr + "]"
	case c.Addr != "":
		return "[" + c.Addr + "]"
	}
	return "localhost"
}

// Mail is one message with its envelope.
type Mail struct {
	From   string   // without angle brackets; empty is the null reverse path
	Params []string // of MAIL, such as SMTPUTF8 or BODY=8BITMIME
	Rcpts  []string // without angle brackets
	Data   []byte   // header, empty line and body; lines end in CRLF
}

// Header returns the header of the message with the CRLF of its last field.
func (m Mail) Header() []byte {
	header, _, _ := bytes.Cut(m.Data, []byte("\r\n\r\n"))
	return append(bytes.Clone(header), "\r\n"...)
}

// Body returns what follows the empty line.
func (m Mail) Body() []byte {
	_, body, _ := bytes.Cut(m.Data, []byte("\r\n\r\n"))
	return body
}

// Fields returns the values of the header fields of this name, top first: the
// bytes between colon and last CRLF, leading space and folds included.
func (m Mail) Fields(name string) []string {
	var values []string
	inField := false
	for line := range strings.Lines(string(m.Header())) {
		if line[0] == ' ' || line[0] == '\t' {
			if inField {
				values[len(values)-1] += line
			}
			continue
		}
		n, value, _ := strings.Cut(line, ":")
		inField = strings.EqualFold(strings.TrimRight(n, " \t"), name)
		if inField {
			values = append(values, value)
		}
	}
	for i := range values {
		values[i] = strings.TrimSuffix(values[i], "\r\n")
	}
	return values
}

// receivedID is how Postfix, and Sendmail after its version, write the queue id
// into their Received field.
var receivedID = regexp.MustCompile(`\((?:Postfix|8\.[^)]*)\) with \S+ id (\w+)`)

// QueueID returns the id under which the private server had the message, or
// nothing when its Received field is not there.
func (m Mail) QueueID() string {
	for _, value := range m.Fields("Received") {
		if id := receivedID.FindStringSubmatch(value); id != nil {
			return id[1]
		}
	}
	return ""
}

// Reply is an SMTP server's answer.
type Reply struct {
	Code int
	Text string // without the code; enhanced status code kept; lines joined with "\n"
}

// OK reports whether the server agreed (2xx, or 3xx before the data).
func (r Reply) OK() bool { return r.Code >= 200 && r.Code < 400 }

// String writes the reply on one line.
func (r Reply) String() string {
	return fmt.Sprintf("%d %s", r.Code, strings.ReplaceAll(r.Text, "\n", " / "))
}

// queuedAs is how Postfix, and Sendmail, say that a message is theirs now.
var queuedAs = regexp.MustCompile(`queued as (\w+)|^2\.0\.0 (\w+) Message accepted`)

// QueueID returns the id that the server gave the message it accepted, or
// nothing.
func (r Reply) QueueID() string {
	if id := queuedAs.FindStringSubmatch(r.Text); id != nil {
		return id[1] + id[2]
	}
	return ""
}
