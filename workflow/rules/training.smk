TRAINED_RUN = STUDY.run("{condition}", "{seed}")


# Once for each encoder and table of the study, whatever is injected and where inputs are cut.
rule featurize:
    input:
        lambda wildcards: ancient(STUDY.tokens[wildcards.key].table),
    output:
        paths.token_table("{key}"),
    log:
        paths.log_file("featurize", "{key}"),
    conda:
        "../envs/kformer.yaml"
    threads: 8
    resources:
        mem_mb=4000,
        runtime="2h",
    params:
        # Derived, as Snakemake calls it, for they take `resources`: nothing runs again where the
        # encoder has moved, since the key stands for its content.
        encoder=lambda wildcards, resources: STUDY.tokens[wildcards.key].encoder,
        content=lambda wildcards, resources: STUDY.tokens[wildcards.key].content or "-",
    shell:
        "RAYON_NUM_THREADS={threads} kformer featurize --table {input}"
        " --encoder {params.encoder:q} --content {params.content} --out {output} 2>&1 | tee {log}"


# Once for all conditions and seeds with the same inputs and frozen layers.
rule compute_states:
    input:
        lambda wildcards: ancient(list(STUDY.states[wildcards.key].tables.values())),
    output:
        directory(paths.states_folder("{key}")),
    log:
        paths.log_file("compute_states", "{key}"),
    conda:
        "../envs/kformer.yaml"
    threads: 8
    resources:
        gpu=GPU,
        mem_mb=16000,
        runtime="4h",
    params:
        # Derived, as those of featurize are.
        settings=lambda wildcards, resources: as_json(
            STUDY.states[wildcards.key].settings
        ),
        content=lambda wildcards, resources: STUDY.states[wildcards.key].content or "-",
        tables=lambda wildcards: options_of(STUDY.states[wildcards.key].tables),
    shell:
        "kformer states {params.tables} --out {output} --content {params.content}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


rule train_model:
    input:
        unpack(tables_of_training),
        # Not ancient: it is newer than a model of another plan, see kformer/study/plans.py.
        plan=STUDY.plan("{condition}-{seed}"),
    output:
        model=directory(TRAINED_RUN.model),
        summary=TRAINED_RUN.summary,
    log:
        STUDY.log("train", "{condition}-{seed}"),
    conda:
        "../envs/kformer.yaml"
    threads: lambda wildcards: TRAINING_THREADS[wildcards.condition]
    resources:
        gpu=GPU,
        mem_mb=memory_needed,
        runtime="12h",
    params:
        # Nothing runs again when they change, for the plan says what does: they are derived, as
        # Snakemake calls it, for they take `resources`.
        options=lambda wildcards, resources: as_json(
            STUDY.train_options(wildcards.condition)
        ),
        tables=options_of_tables,
        content=lambda wildcards, resources: STUDY.encoder(wildcards.condition) or "-",
        out=lambda wildcards: STUDY.run(wildcards.condition, wildcards.seed).path,
        # Of its own, and no output: Snakemake deletes the outputs of a job that failed.
        checkpoints=lambda wildcards: STUDY.checkpoints(
            wildcards.condition, wildcards.seed
        ),
    shell:
        # A batch system sends its warnings to all processes of a job. `kformer train` hears them;
        # bash and tee must outlive it, for its status and its last line.
        "trap '' TERM USR1; "
        "kformer train {params.tables} --out {params.out}"
        " --checkpoints {params.checkpoints} --seed {wildcards.seed} --content {params.content}"
        " --plan {input.plan} --settings {params.options:q} 2>&1 | tee {log}"
