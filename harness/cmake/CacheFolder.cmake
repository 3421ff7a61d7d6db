# The per-user cache that harness/setup/setup.sh fills: HARNESS_CACHE, else XDG_CACHE_HOME/aaq-harness,
# else ~/.cache/aaq-harness. harness/core/paths.cc says the same to the running program.
if(DEFINED ENV{HARNESS_CACHE})
  set(HARNESS_CACHE_FOLDER "$ENV{HARNESS_CACHE}")
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(HARNESS_CACHE_FOLDER "$ENV{XDG_CACHE_HOME}/aaq-harness")
else()
  set(HARNESS_CACHE_FOLDER "$ENV{HOME}/.cache/aaq-harness")
endif()
