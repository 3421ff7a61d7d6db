#pragma once

namespace harness {

// results/queries/*.sql, as they were when the program was built: reports work without a checkout.
extern const char* const kMainTableSql;      // parameter :experiment, a key
extern const char* const kProvenanceSql;     // parameter :experiment, a key
extern const char* const kExperimentsSql;    // none
extern const char* const kAttackSuccessSql;  // parameter :experiment, a key
extern const char* const kAgreementSql;      // parameter :experiment, a key
extern const char* const kDisagreementsSql;  // none

}  // namespace harness
