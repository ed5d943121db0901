package streamcodec

import "kroxy-ev/balance"

// Splits distributes traffic among the targets of routes that have several. R is a codec's route type. A Splits belongs to one
// loop; its zero value is ready to use.
type Splits[R any] struct {
	of map[*R]*balance.Weighted // created when first needed
}

// Next returns the index of the target for the next session or request of r. The route has n targets with the given weights.
func (s *Splits[R]) Next(r *R, n int, weight func(target int) int) int {
	split := s.of[r]
	if split == nil {
		weights := make([]int, n)
		for i := range weights {
			weights[i] = weight(i)
		}
		split = balance.NewWeighted(weights)
		if s.of == nil {
			s.of = make(map[*R]*balance.Weighted)
		}
		s.of[r] = split
	}
	return split.Next()
}
