"""The whole study: data, knowledge, retrieval, training, evaluation, comparison.

snakemake --cores all all                                        # the embedded demo
snakemake --cores all --configfile config/social_iqa.yaml -- all   # Social IQA
snakemake --cores all retrieval                                  # inspect retrieval, without training
"""

from pathlib import Path

from snakemake.utils import min_version

min_version("9.19")

# Only when no other config is given: Snakemake would merge the demo's conditions into it. That of
# the working directory, or else the demo's own, which lies beside this file.
if not workflow.overwrite_configfiles:
    own = Path("config/config.yaml")

    configfile: str(own if own.is_file() else Path(workflow.basedir) / own)


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/retrieval.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"


# What comes before training, to inspect it first.
rule retrieval:
    input:
        [paths.retrieval_report(key).page for key in STUDY.retrievals],


rule all:
    default_target: True
    input:
        STUDY.comparison.numbers,
        STUDY.comparison.report,
        STUDY.comparison.provenance,
        # Also asked for themselves, so that one that was deleted is made again.
        [file for run in STUDY.runs for file in STUDY.outputs(run)],
        rules.retrieval.input,
        rules.drop_models.output if drops_models(STUDY) else [],
