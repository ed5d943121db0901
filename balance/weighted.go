package balance

// Weighted chooses among things by weight: in any run of choices each thing gets its share as evenly as possible, so the choices of a light
// thing are spread out. It is not safe for concurrent use: each loop has its own.
//
// The algorithm is nginx's smooth weighted round robin: each choice adds to every thing's credit its weight, and the thing with the most
// credit is chosen and pays the total.
type Weighted struct {
	weights, credits []int
	total            int
}

// NewWeighted makes a Weighted of things with these weights, none negative and at least one positive. It retains the list. A thing of
// weight zero is never chosen.
func NewWeighted(weights []int) *Weighted {
	w := &Weighted{weights: weights, credits: make([]int, len(weights))}
	for _, n := range weights {
		w.total += n
	}
	return w
}

// Next returns the index of the chosen thing.
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
