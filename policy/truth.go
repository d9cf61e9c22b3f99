package policy

// truth is what is known about a condition: a fact that it needs may lack. The
// zero value says that it does not hold.
type truth uint8

const (
	no truth = iota
	unsure
	yes
)

func is(holds bool) truth {
	if holds {
		return yes
	}
	return no
}

func (a truth) and(b truth) truth { return min(a, b) }
func (a truth) or(b truth) truth  { return max(a, b) }
func (a truth) not() truth        { return yes - a }
