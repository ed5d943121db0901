package proxy

import (
	"fmt"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec/policy"
	"kroxy-ev/httpcodec/route"
)

// checkRoutes finds what is wrong with the routes of a configuration, and warns of those that nothing reaches.
func checkRoutes(cfg *config.Config) (warnings []config.Problem, err error) {
	var bad []config.Problem
	for _, s := range cfg.Servers {
		shadows, problems := route.Check(s.Routes)
		bad = append(bad, routeProblems(cfg, problems)...)
		if problems == nil && s.Mode == config.ModeHTTP {
			bad = append(bad, checkPolicies(cfg, s)...)
		}
		for _, shadow := range shadows {
			r, by := &s.Routes[shadow.Route], &s.Routes[shadow.By]
			earlier := by.Path
			if by.Name != by.Path {
				earlier = fmt.Sprintf("%q (%s)", by.Name, by.Path)
			}
			warnings = append(warnings, cfg.Problem(r.Path, "nothing reaches this route: "+earlier+", which is before it, takes all that it would",
				"put it before that one, or remove it"))
		}
	}
	return warnings, config.AsError(bad, nil)
}

// routeProblems are problems with routes at their places in the file.
func routeProblems(cfg *config.Config, problems []route.Problem) (list []config.Problem) {
	for _, p := range problems {
		list = append(list, cfg.Problem(p.Path, p.What, p.Remedy))
	}
	return list
}

// checkPolicies finds what is wrong with what the routes of s do.
func checkPolicies(cfg *config.Config, s *config.Server) (list []config.Problem) {
	table, _ := route.Compile(s.Routes)
	for i := range s.Routes {
		r := &s.Routes[i]
		_, problems := policy.Compile(r, table.Regexes(i))
		list = append(list, policyProblems(cfg, r, problems)...)
	}
	return list
}

// policyProblems are problems with what a route does at their places in the file.
func policyProblems(cfg *config.Config, r *config.Route, problems []policy.Problem) (list []config.Problem) {
	for _, p := range problems {
		list = append(list, cfg.Problem(r.Path+"."+p.Path, p.What, p.Remedy))
	}
	return list
}
