"""One file per logger. Each is a Lightning `Logger` and a `Recorder`; `conf/logger/` has a config file for each."""
