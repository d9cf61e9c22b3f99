package pattern

// Fault is what is wrong in what an operator wrote, and how to mend it. It is
// permanent.
type Fault struct {
	Key  string // where it stands, as in a rule file: "match.client_ip"; "" when whoever reads the text knows
	Text string
	Mend string
}

// Error returns the fault as one line.
func (f Fault) Error() string {
	text := f.Text + "; " + f.Mend
	if f.Key != "" {
		text = f.Key + ": " + text
	}
	return text
}
