package proxy

import "kroxy-ev/config"

// OnlyServer is the server that has the process's keys.
func OnlyServer(cfg *config.Config) *config.Server { return cfg.Servers[0] }

// Problem is an error at a key of a configuration that is the process's.
func Problem(cfg *config.Config, key, what, remedy string) error {
	return serverProblem(cfg, OnlyServer(cfg), key, what, remedy)
}

// serverProblem is an error at a key of a server.
func serverProblem(cfg *config.Config, s *config.Server, key, what, remedy string) error {
	return ProblemAt(cfg, cfg.PathOf(s, key), what, remedy)
}

// ProblemAt is an error at a path of a configuration.
func ProblemAt(cfg *config.Config, path, what, remedy string) error {
	return &config.Error{Problems: []config.Problem{cfg.Problem(path, what, remedy)}}
}
