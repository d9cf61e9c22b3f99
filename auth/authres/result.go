package authres

// Limits of what is written and of what is read. All of it was chosen by
// senders or found in their DNS, and a field grows no longer than we allow.
const (
	MaxID         = 255 // bytes of the authserv-id: one that is written is cut, a longer one is not read; a domain name has 253
	MaxResults    = 50  // results in one field; more are left out
	MaxProperties = 16  // of one result; more are left out
	MaxKeyword    = 32  // bytes of a method, result or property name; longer ones are left out

	// MaxValue is the bytes of a property value: the longest address (RFC
	// 5321, Section 4.5.3.1). A longer value is left out, for the beginning
	// of a domain is another domain.
	MaxValue = 64 + 1 + 255

	MaxText = 256 // bytes of a comment or reason; longer ones are cut

	// MaxField is the bytes of a field that Parse reads: what Postfix takes as
	// one header field (header_size_limit).
	MaxField = 102400

	// maxComment is how deep comments may nest before what they stand in
	// counts as unreadable.
	maxComment = 50

	// maxUnicodeID bounds the id that is converted to A-labels, in bytes: more
	// than enough for any domain name.
	maxUnicodeID = 1024
)

// Property is one thing that a method looked at, with its value (RFC 8601,
// Section 2.2): smtp.mailfrom=shop.example has Type smtp, Name mailfrom.
type Property struct{ Type, Name, Value string }

// Result is what one method found. Comment is for people and Reason for the
// reason clause; both may be empty.
type Result struct {
	Method, Value, Comment, Reason string
	Properties                     []Property
}

// Get returns the value of the first property of that name, in lower case as
// RFC 8601 writes it, and nothing if there is none.
func (r Result) Get(ptype, name string) string {
	for _, p := range r.Properties {
		if p.Type == ptype && p.Name == name {
			return p.Value
		}
	}
	return ""
}

// Field is what an Authentication-Results field says.
type Field struct {
	ID      string   // authserv-id, as ids are compared: lower-case A-labels, without a job identifier
	Results []Result // none if the field says "none"

	// Skipped counts the results that were passed over: unreadable, of an
	// unknown version, or too many.
	Skipped int
}
