package pattern

// Fault is what is wrong in what an operator wrote, and how to fix it. It is
// permanent.
type Fault struct {
	Key  string // where it stands, as in a rule file: "match.client"; "" when whoever reads the text knows
	Text string
	Fix  string
}

// Error returns the fault as one line.
func (f Fault) Error() string {
	text := f.Text + "; " + f.Fix
	if f.Key != "" {
		text = f.Key + ": " + text
	}
	return text
}
