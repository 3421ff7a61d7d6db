#pragma once

namespace harness {

// results/queries/*.sql, as they were when the program was built: reports work without a checkout.
// Each takes the parameter :experiment, a key, where nothing else is said.
extern const char* const kMainTableSql;
extern const char* const kProvenanceSql;
extern const char* const kExperimentsSql;  // no parameter
extern const char* const kAttackSuccessSql;
extern const char* const kAgreementSql;
extern const char* const kDisagreementsSql;  // no parameter
extern const char* const kRunStagesSql;
extern const char* const kStageProvenanceSql;
extern const char* const kFlippedItemsSql;   // parameter :attempt
extern const char* const kComparedItemsSql;  // parameter :attempt
extern const char* const kItemCountsSql;
extern const char* const kItemsByScoreSql;  // parameter :attempt
extern const char* const kPublishedSql;     // and :published, kPublishedCsv
extern const char* const kPlotMetricsSql;
extern const char* const kPlotSafetyPerplexitySql;
extern const char* const kPlotAblationSql;
extern const char* const kPlotBitsSql;
extern const char* const kPlotFlipsSql;
extern const char* const kPlotSafetybenchSql;
extern const char* const kPlotActivationsSql;
extern const char* const kPlotTrainingSql;

// results/*.csv, likewise.
extern const char* const kMetricsCsv;
extern const char* const kPublishedCsv;

// The page of an experiment: harness/report/page.html, .css and .js.
extern const char* const kPageHtml;
extern const char* const kPageCss;
extern const char* const kPageJs;

}  // namespace harness
