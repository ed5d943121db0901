package balance

// Weighted chooses among things by weight, in turn: of any stretch of choices each gets its share, as evenly as can be, so that
// one with a small weight does not get its choices in a row. It is not safe for concurrent use: each loop has its own.
//
// It is smooth weighted round robin, as nginx has it: each choice gives everybody as many credits as it weighs, and the one that
// has the most pays for all.
type Weighted struct {
	weights, credits []int
	total            int
}

// NewWeighted makes a Weighted of things with these weights, none of which is negative and one at least is positive. It keeps
// the list. One that weighs nothing is never chosen.
func NewWeighted(weights []int) *Weighted {
	w := &Weighted{weights: weights, credits: make([]int, len(weights))}
	for _, n := range weights {
		w.total += n
	}
	return w
}

// Next chooses, and answers the index of the chosen.
func (w *Weighted) Next() int {
	most := -1
	for i, n := range w.weights {
		if n == 0 {
			continue
		}
		if w.credits[i] += n; most < 0 || w.credits[i] > w.credits[most] {
			most = i
		}
	}
	w.credits[most] -= w.total
	return most
}
